"""Turns: what was never tried and what was tried before share a destination's room."""

from collections.abc import Collection

from longstop.model.lease import Claim, LeaseRequest
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import LEASE_MS, lease, settled, to_retry

NOW_MS = AT_MS + 100
TRIED, UNTRIED = (1, 2, 3, 4, 5, 6), (7, 8, 9, 10)


async def _waiting(store: Store) -> None:
    """Six that were tried before and are due the longest, and four that were not."""
    await store.append([make_append(number) for number in TRIED])
    for claim in (await lease(store)).claims:
        await settled(store, to_retry(claim, AT_MS + 10))
    await store.append([make_append(number, due_at_ms=AT_MS + 10 + number) for number in UNTRIED])


async def _leased(
    store: Store, room: int, retries: int | None = None, retries_first: Collection[str] = ()
) -> list[Claim]:
    most = {} if retries is None else {"crm": retries}
    request = LeaseRequest("worker-1", {"crm": room}, NOW_MS, NOW_MS + LEASE_MS, most, retries_first)
    return list((await store.lease(request)).claims)


def _expect(claims: list[Claim], *numbers: int) -> None:
    expect_equal(sorted(each.event.id for each in claims), sorted(map(event_id, numbers)), "events leased")


async def check_half_of_the_room_each(store: Store) -> None:
    """However long the others have been due, of each the longest due first."""
    await _waiting(store)
    _expect(await _leased(store, 4), 1, 2, 7, 8)


async def check_what_one_half_does_not_use_is_the_others(store: Store) -> None:
    """No room is left empty while anything is due."""
    await _waiting(store)
    _expect(await _leased(store, 9), 1, 2, 3, 4, 5, 7, 8, 9, 10)
    _expect(await _leased(store, 9), 6)


async def check_never_tried_may_have_all(store: Store) -> None:
    """Where nothing was tried before, or may be."""
    await _waiting(store)
    _expect(await _leased(store, 3, retries=0), 7, 8, 9)
    _expect(await _leased(store, 3, retries=0), 10)
    _expect(await _leased(store, 3, retries=0))


async def check_no_more_retries_than_allowed(store: Store) -> None:
    """Room that only retries could fill stays empty beyond `retries`."""
    await _waiting(store)
    _expect(await _leased(store, 10, retries=2), 1, 2, 7, 8, 9, 10)
    _expect(await _leased(store, 10, retries=1), 3)


async def check_who_comes_first(store: Store) -> None:
    """With room for one they take turns as the asking worker says."""
    await _waiting(store)
    _expect(await _leased(store, 1), 7)
    _expect(await _leased(store, 1, retries_first={"crm"}), 1)
    _expect(await _leased(store, 3, retries_first={"crm"}), 2, 3, 8)
    _expect(await _leased(store, 1, retries=0, retries_first={"crm"}), 9)
