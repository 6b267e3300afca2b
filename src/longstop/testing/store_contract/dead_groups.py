"""Groups of the dead: by what they died of, true at every moment, whoever dies, is replayed or given up."""

from longstop.model.delivery import DeadReason
from longstop.model.listing import DEAD_STEP_MS, DeadGroup, TimeSteps
from longstop.model.retention import Cutoffs
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import dead_of, discard, lease, lease_one, replay, settled


async def _found(store: Store, destination: str | None = None) -> list[tuple[str, int | None, str, int, int]]:
    groups = await store.dead_groups(destination)
    return [(each.destination, each.status, each.error, each.count, each.keys) for each in groups]


async def check_what_is_one_group(store: Store) -> None:
    """Destination, reason, status, and the error without its variable parts."""
    await store.append([make_append(n, key="a" if n < 3 else f"k{n}") for n in range(1, 7)])
    await store.append([make_append(7, to=("lake",)), make_quarantined(8, received_at_ms=AT_MS + 90)])
    claims = (await lease(store, crm=9, lake=9)).claims
    errors: list[tuple[str, int | None]] = [
        ("order 1 is unknown", 404),
        ("order 22 is unknown", 404),
        ("order 3 is unknown", 404),
    ]
    errors += [("order 4 is unknown", 410), ("refused", None), ("timed out after 0.5 s", None), ("refused", None)]
    for place, (claim, (error, status)) in enumerate(zip(claims, errors, strict=True), 1):
        await settled(store, dead_of(claim, error, status, AT_MS + 10 * place))
    groups = list(await store.dead_groups())
    expect_equal(
        groups[0],
        DeadGroup(
            "crm", DeadReason.REJECTED, 404, "order # is unknown", 3, 2, AT_MS + 10, AT_MS + 30,
            tuple(claim.delivery.id for claim in reversed(claims[:3])),
        ),
        "the largest group",
    )  # fmt: skip
    rest = sorted((each.destination, each.status or 0, each.error, each.count, each.keys) for each in groups[1:])
    expected = [
        ("", 0, "the body is not JSON", 1, 0),
        ("crm", 0, "refused", 1, 1),
        ("crm", 0, "timed out after # s", 1, 1),
        ("crm", 410, "order # is unknown", 1, 1),
        ("lake", 0, "refused", 1, 1),
    ]
    expect_equal(rest, expected, "the other groups")
    expect_equal(await _found(store, "lake"), [("lake", None, "refused", 1, 1)], "groups of one destination")
    expect_equal(len(await store.dead_groups(limit=2)), 2, "groups, at most 2")


async def check_groups_follow_what_is_decided(store: Store) -> None:
    """A replay or discard takes a delivery out of its group; dying again puts it into the group of that death."""
    await store.append([make_append(n, key="a") for n in (1, 2, 3)])
    for claim in (await lease(store)).claims:
        await settled(store, dead_of(claim, "busy", 503, AT_MS + 10))
    one, two, three = (await store.dead_groups())[0].sample
    await store.act([discard(one), replay(two, AT_MS + 20)])
    expect_equal(await _found(store), [("crm", 503, "busy", 1, 1)], "groups after a discard and a replay")
    await settled(store, dead_of(await lease_one(store, AT_MS + 20), "gone", 410, AT_MS + 30))
    groups = await _found(store)
    expect_equal(sorted(groups, key=str), [("crm", 410, "gone", 1, 1), ("crm", 503, "busy", 1, 1)], "after dying again")
    await store.act([replay(three, AT_MS + 40), replay(two, AT_MS + 40)])
    expect_equal(await _found(store), [], "groups when nothing is dead")


QUARTER = AT_MS - AT_MS % DEAD_STEP_MS + DEAD_STEP_MS
"""When the first quarter of an hour begins after everything here was received."""


async def _when(store: Store, over: TimeSteps) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.error, each.over_time) for each in await store.dead_groups(None, 100, over)]


async def check_when_the_dead_of_a_group_died(store: Store) -> None:
    """Counted by steps of quarters of an hour, or of several; what died before and after them is not counted."""
    await store.append([make_append(n) for n in range(1, 7)])
    last_ms = DEAD_STEP_MS - 1
    died_after = [0, last_ms, DEAD_STEP_MS, 2 * DEAD_STEP_MS, 2 * DEAD_STEP_MS + last_ms, 7 * DEAD_STEP_MS]
    for claim, after_ms in zip((await lease(store, crm=6)).claims, died_after, strict=True):
        await settled(store, dead_of(claim, "busy", 503, QUARTER + after_ms))
    found = await _when(store, TimeSteps(QUARTER, DEAD_STEP_MS, 4))
    expect_equal(found, [("busy", (2, 1, 2, 0))], "how many died in each quarter of an hour")
    found = await _when(store, TimeSteps(QUARTER - DEAD_STEP_MS, 2 * DEAD_STEP_MS, 3))
    expect_equal(found, [("busy", (2, 3, 0))], "how many died in each half of an hour, which begin before them")
    found = await _when(store, TimeSteps(QUARTER + DEAD_STEP_MS, DEAD_STEP_MS, 1))
    expect_equal(found, [("busy", (1,))], "how many died in one quarter")
    expect_equal((await store.dead_groups())[0].over_time, (), "what nobody asked for")


async def check_what_leaves_a_group_is_not_counted_over_time(store: Store) -> None:
    """By a replay, a discard or being forgotten; who dies again is counted at that time, and in that group."""
    await store.append([make_append(n) for n in (1, 2, 3, 4)])
    await store.append([make_quarantined(9, received_at_ms=QUARTER)])
    claims = (await lease(store, crm=4)).claims
    for claim in claims:
        await settled(store, dead_of(claim, "busy", 503, QUARTER + 10))
    one, two, three, _ = (claim.delivery.id for claim in claims)
    over = TimeSteps(QUARTER, DEAD_STEP_MS, 3)
    expect_equal(
        await _when(store, over),
        [("busy", (4, 0, 0)), ("the body is not JSON", (1, 0, 0))],
        "what died at its destination, and what was dead on arrival",
    )
    again_ms = QUARTER + 2 * DEAD_STEP_MS
    await store.act([discard(one, again_ms), replay(two, again_ms)])
    expect_equal((await _when(store, over))[0], ("busy", (2, 0, 0)), "after a discard and a replay")
    await settled(store, dead_of(await lease_one(store, again_ms), "busy", 503, again_ms + 1))
    expect_equal((await _when(store, over))[0], ("busy", (2, 0, 1)), "after dying again")
    await store.act([replay(three, again_ms)])
    await settled(store, dead_of(await lease_one(store, again_ms), "gone", 410, again_ms + 1))
    expect_equal((await _when(store, over))[0], ("busy", (1, 0, 1)), "after dying of another error")
    # Forgotten: the fourth, and what was dead on arrival.
    await store.forget([event_id(4), event_id(9)], Cutoffs(again_ms, again_ms, again_ms, again_ms))
    found = [("busy", (0, 0, 1)), ("gone", (0, 0, 1))]
    expect_equal(sorted(await _when(store, over)), found, "after what is old was forgotten")
