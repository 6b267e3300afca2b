"""The AWS store in worlds where any call may fail: refused, or done and its answer lost."""

import contextlib
import os
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="the extra aws is not installed")

from aws_faults import World, run_in_memory, run_seed
from aws_table import StoreInMemory
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.stores.aws import AwsStore
from longstop.stores.aws.store.inbox import AwsInbox
from longstop.stores.aws.units import Units
from stores_at_hand import Place

SEEDS = int(os.environ.get("AWS_SEEDS", "2000"))
ON_THE_EMULATOR = 12


async def test_nothing_is_lost_whatever_call_fails(capsys: pytest.CaptureFixture[str]) -> None:
    injected: Counter[str] = Counter()
    acknowledged = sent = 0
    for seed in range(SEEDS):
        world = await run_in_memory(StoreInMemory(), seed)
        assert world.problems == [], f"seed {seed}"
        injected += world.faults.injected
        acknowledged += len(world.acknowledged)
        sent += sum(world.sent.values())
    assert {name.partition(":")[0] for name in injected} >= {"get", "query", "transact"}
    with capsys.disabled():
        print(f"\nAWS, {SEEDS} seeds: 0 of {acknowledged} lost, {sent} sent, {sum(injected.values())} calls failed")


@pytest.mark.parametrize("place", ["aws"], indirect=True)
async def test_nothing_is_lost_on_the_emulator(place: Place) -> None:
    store: Any = place()
    await store.open()
    try:
        for seed in range(ON_THE_EMULATOR):
            world = await run_seed(store, seed)
            assert world.problems == [], f"seed {seed}"
    finally:
        await store.close()


async def problems_of(seeds: int = 60) -> list[str]:
    """Of worlds over a store with a bug."""
    worlds: list[World] = [await run_in_memory(StoreInMemory(), seed) for seed in range(seeds)]
    return [problem for world in worlds for problem in world.problems]


async def test_planted_acknowledged_before_the_put(monkeypatch: pytest.MonkeyPatch) -> None:
    append = AwsInbox.append

    async def early(self: AwsStore, appends: Any) -> Any:
        with contextlib.suppress(StoreUnavailableError):
            return await append(self, appends)
        return [Receipt(ReceiptStatus.ACCEPTED, each.event.id) for each in appends]

    monkeypatch.setattr(AwsInbox, "append", early)
    assert any(each.startswith("lost") for each in await problems_of())


async def test_planted_what_fails_is_run_again_as_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item is written whatever stands there meanwhile."""
    from longstop.stores.aws import units

    def unguarded(table: str, key: Any, _base: Any, item: Any, stamp: str) -> Any:
        made = guarded(table, key, _base, item, stamp)
        for given in made.values():
            given.pop("ConditionExpression", None)
        return made

    guarded = units._write
    monkeypatch.setattr(units, "_write", unguarded)
    assert await problems_of(), "a settlement of before takes the lease of another"


async def test_planted_a_counter_beside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Units._commit

    async def apart(self: Units, transaction: Any) -> None:
        counts, transaction.counts = transaction.counts, {}
        await commit(self, transaction)
        transaction.counts = counts
        transaction.items, transaction.bumps, transaction.checks = {}, {}, set()
        await commit(self, transaction)

    monkeypatch.setattr(Units, "_commit", apart)
    assert any(each.startswith("counted") for each in await problems_of())
