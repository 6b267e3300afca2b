"""The store contract, on every store that works within one machine."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing import store_contract

Make = Callable[[Path], Store]

PERSISTING: dict[str, Make] = {"sqlite": lambda folder: SqliteStore(folder / "store.db")}
STORES: dict[str, Make] = {"memory": lambda folder: MemoryStore(), **PERSISTING}


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = STORES[request.param](tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("check", store_contract.CHECKS, ids=str)
async def test_store(check: store_contract.Check, store: Store) -> None:
    await check.run(store)


@pytest.mark.parametrize("store", PERSISTING, indirect=True)
@pytest.mark.parametrize("check", store_contract.REOPEN_CHECKS, ids=str)
async def test_reopened_store(
    check: store_contract.ReopenCheck, store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    name = request.node.callspec.params["store"]

    async def reopen() -> Store:
        again = PERSISTING[name](tmp_path)
        await again.open()
        return again

    await check.run(store, reopen)


def test_checks_have_names_of_their_own() -> None:
    names = [str(check) for check in (*store_contract.CHECKS, *store_contract.REOPEN_CHECKS)]
    assert len(names) == len(set(names))
    assert {check.concern for check in store_contract.CHECKS} == {
        "append", "dedup", "lease", "settle", "rescue", "extend", "listing", "act", "counts", "arrival", "order",
        "pause", "circuit", "search", "dead_groups", "retention", "rejections", "held_requests", "retry_share", "clock",
        "edit", "lookups", "nodes", "keyed_requests", "statistics", "jobs", "accounts", "audit", "alerts"
    }  # fmt: skip
