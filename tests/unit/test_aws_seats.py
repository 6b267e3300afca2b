"""How many attempts are under way in all processes together, where functions hold a limit: whoever ends them."""

from types import SimpleNamespace
from typing import Any

import pytest

from longstop.model.lease import LeaseRef
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import LEASE_MS, delivered, lease, rescued, settled

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory
from longstop.stores.aws import table as keys


@pytest.fixture
def table() -> TableInMemory:
    return TableInMemory()


def process(table: TableInMemory, limit: int | None = 2) -> StoreInMemory:
    """A function, which holds a limit; None: a server, which knows none."""
    store = StoreInMemory(table)
    store.deliveries.seats = {} if limit is None else {"crm": limit}
    return store


def taken(table: TableInMemory) -> int:
    return int(table.items.get(keys.seats("crm"), {}).get("n", 0))


async def test_no_more_are_leased_than_there_are_seats(table: TableInMemory) -> None:
    one, other = process(table), process(table)
    await one.append([make_append(number) for number in range(5)])
    claims = (await lease(one, crm=1)).claims + (await lease(other, crm=5)).claims
    assert (len(claims), taken(table)) == (2, 2)
    assert (await lease(one)).claims == ()
    await settled(one, delivered(claims[0]))
    assert (len((await lease(one)).claims), taken(table)) == (1, 2)


async def test_a_lease_that_was_extended_gives_its_seat_back(table: TableInMemory) -> None:
    store = process(table)
    await store.append([make_append(1)])
    (claim,) = (await lease(store)).claims
    await store.extend([LeaseRef(claim.delivery.id, claim.delivery.token)], AT_MS + 2 * LEASE_MS)
    assert taken(table) == 1
    await settled(store, delivered(claim))
    assert taken(table) == 0


async def test_a_server_gives_back_the_seat_of_a_function_that_died(table: TableInMemory) -> None:
    await process(table).append([make_append(number) for number in range(3)])
    claims = (await lease(process(table))).claims
    assert taken(table) == 2
    server = process(table, None)
    for each in await server.expired(AT_MS + LEASE_MS, 10):
        claim: Any = SimpleNamespace(delivery=each)
        await rescued(server, claim, AT_MS + LEASE_MS)
    assert taken(table) == 0
    assert len((await lease(process(table), AT_MS + LEASE_MS)).claims) == len(claims) == 2


async def test_what_a_server_leased_has_no_seat_to_give_back(table: TableInMemory) -> None:
    server = process(table, None)
    await server.append([make_append(number) for number in range(3)])
    (of_server,) = (await lease(server, crm=1)).claims
    (of_function,) = (await lease(process(table), crm=1)).claims
    assert taken(table) == 1
    await settled(process(table), delivered(of_server))
    assert taken(table) == 1
    await settled(server, delivered(of_function))
    assert taken(table) == 0
