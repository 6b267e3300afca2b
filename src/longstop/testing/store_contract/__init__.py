"""The store contract: what every store must do, as checks that anyone can run on a store of their own.

Each check is an async function that takes an open, empty store and raises AssertionError where the store breaks
a promise of `longstop.ports`. No test framework is needed, and none is in the way: with pytest it reads

    import pytest
    from longstop.testing import store_contract

    @pytest.mark.parametrize("check", store_contract.CHECKS, ids=str)
    async def test_my_store(check: store_contract.Check) -> None:
        store = MyStore()
        await store.open()
        try:
            await check.run(store)
        finally:
            await store.close()

A store that outlives its process runs REOPEN_CHECKS too. They also take `reopen`, a function that opens
another store on the same data after the first was closed:

    await check.run(store, reopen)

Checks pass every time as `now_ms`, so they need no clock, and they never sleep.
"""

from longstop.testing.store_contract import (
    accounts,
    act,
    alerts,
    append,
    arrival,
    audit,
    circuit,
    clock,
    counts,
    dead_groups,
    dedup,
    edit,
    event_deliveries,
    extend,
    health,
    held_requests,
    jobs,
    keyed_requests,
    lease,
    listing,
    lookups,
    nodes,
    order,
    pause,
    rejections,
    reopen,
    rescue,
    retention,
    retry_share,
    search,
    settle,
    statistics,
    transfer,
)
from longstop.testing.store_contract.check import Check, Reopen, ReopenCheck, checks_of, reopen_checks_of

__all__ = ["CHECKS", "REOPEN_CHECKS", "Check", "Reopen", "ReopenCheck"]

CHECKS: tuple[Check, ...] = checks_of(
    append,
    dedup,
    lease,
    settle,
    rescue,
    extend,
    listing,
    act,
    counts,
    arrival,
    order,
    pause,
    circuit,
    search,
    dead_groups,
    rejections,
    held_requests,
    retry_share,
    clock,
    retention,
    event_deliveries,
    edit,
    lookups,
    nodes,
    health,
    jobs,
    keyed_requests,
    statistics,
    accounts,
    audit,
    alerts,
    transfer,
)
"""Every check that any store passes."""

REOPEN_CHECKS: tuple[ReopenCheck, ...] = reopen_checks_of(reopen)
"""What a store that persists passes besides."""
