"""PostgreSQL: a worker that stands still between the claim and the rows gets nothing that another has leased since."""

import random
from typing import Any

import pytest

from longstop.delivering.attempt import settled
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.lease import LeaseRequest
from longstop.model.retry import RetryPolicy
from longstop.ports import Store
from longstop.stores.postgres import leases
from longstop.testing.builders import AT_MS, make_append
from stores_at_hand import Place


async def test_what_another_worker_has_meanwhile_is_no_claim(
    postgresql_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = postgresql_place(), postgresql_place()
    await one.open()
    await two.open()
    await one.append([make_append(1)])
    look, taken = leases._look, []

    async def stand_still(database: Any, request: LeaseRequest) -> Any:
        if request.worker == "one":
            taken.extend(await _rescued_and_leased(two))
        return await look(database, request)

    monkeypatch.setattr(leases, "_look", stand_still)
    late = await one.lease(LeaseRequest("one", {"crm": 1}, AT_MS, AT_MS + 1_000))
    assert [claim.delivery.token for claim in taken] == [2]
    assert not late.claims, "its token would be the other one's"
    await one.close()
    await two.close()


async def _rescued_and_leased(store: Store) -> Any:
    (lost,) = await store.expired(AT_MS + 2_000, 1)
    outcome = Outcome(OutcomeKind.LOST, error="lost")
    end = settled(lost, outcome, AT_MS, RetryPolicy(), AT_MS + 2_000, random.Random(1))
    assert await store.settle([end]) == [None]
    late_ms = AT_MS + 3_600_000
    return (await store.lease(LeaseRequest("two", {"crm": 1}, late_ms, late_ms + 1_000))).claims
