"""The store contract, on every store."""

import pytest

from longstop.ports import Store
from longstop.testing import store_contract
from stores_at_hand import CLOUD, PERSISTING, STORES, Place, chosen


@pytest.fixture
def store(opened: Store) -> Store:
    return opened


@pytest.mark.parametrize("place", chosen((*STORES, *CLOUD)), indirect=True)
@pytest.mark.parametrize("check", store_contract.CHECKS, ids=str)
async def test_store(check: store_contract.Check, store: Store) -> None:
    await check.run(store)


@pytest.mark.parametrize("place", chosen((*PERSISTING, *CLOUD)), indirect=True)
@pytest.mark.parametrize("check", store_contract.REOPEN_CHECKS, ids=str)
async def test_reopened_store(check: store_contract.ReopenCheck, store: Store, place: Place) -> None:
    async def reopen() -> Store:
        again = place()
        await again.open()
        return again

    await check.run(store, reopen)


def test_checks_have_names_of_their_own() -> None:
    names = [str(check) for check in (*store_contract.CHECKS, *store_contract.REOPEN_CHECKS)]
    assert len(names) == len(set(names))
    assert {check.concern for check in store_contract.CHECKS} == {
        "append", "dedup", "lease", "settle", "rescue", "extend", "listing", "act", "counts", "arrival", "order",
        "pause", "circuit", "search", "dead_groups", "retention", "rejections", "held_requests", "retry_share", "clock",
        "edit", "lookups", "nodes", "health", "keyed_requests", "statistics", "jobs", "accounts", "audit", "alerts",
        "transfer", "event_deliveries",
    }  # fmt: skip
