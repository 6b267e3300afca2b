"""The AWS store in worlds where any call may fail: refused, done in part, or done and its answer lost.

The plants at the end are bugs that such a store may have; each has to be found by the same worlds.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

pytest.importorskip("aiobotocore", reason="the extra aws is not installed")

from aws_faults import Around, Ending, FaultyTable, World, run_in_memory, run_seed
from aws_table import StoreInMemory
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.lease import LeaseRef
from longstop.stores.aws import AwsStore, units
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.packing import to_delivery
from longstop.stores.aws.store.inbox import AwsInbox
from longstop.stores.aws.units import Units, View
from longstop.stores.bodies import s3 as bodies_s3
from stores_at_hand import Place

SEEDS = int(os.environ.get("AWS_SEEDS", "2000"))
ON_THE_EMULATOR = 12
PLANTED_SEEDS = 100
HAPPENED = {
    *(f"{call}: {how}" for call in ("get", "query", "transact") for how in ("refused", "answer lost", "throttled")),
    *("send: refused", "send: a part failed", "send: answer lost", "receive: refused", "receive: handed out twice"),
    *("delete: refused", "delete: a part failed", "delete: expired handle"),
    *(f"{call}: {how}" for call in ("put_object", "delete_objects") for how in ("refused", "answer lost")),
    *("get_object: refused", "list_objects_v2: refused"),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """All that fails is told, and there is much of it."""
    with capture_logs():
        yield


async def test_nothing_is_lost_whatever_call_fails(capsys: pytest.CaptureFixture[str]) -> None:
    happened: Counter[str] = Counter()
    acknowledged = sent = 0
    for seed in range(SEEDS):
        world = await run_in_memory(StoreInMemory(), seed)
        assert world.problems == [], f"seed {seed}"
        happened += _happened(world)
        acknowledged += len(world.acknowledged)
        sent += sum(world.sent.values())
    assert SEEDS < PLANTED_SEEDS or happened.keys() >= HAPPENED
    with capsys.disabled():
        print(f"\nAWS, {SEEDS} seeds: 0 of {acknowledged} lost, {sent} sent, {sum(happened.values())} calls failed")


def _happened(world: World) -> Counter[str]:
    around = world.around
    assert around is not None
    assert around.queue.dead is not None
    happened: Counter[str] = world.faults.injected + around.queue.happened + around.bucket.happened
    return happened + around.queue.dead.happened


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


# -- planted bugs ---------------------------------------------------------------------------------


async def found(what: str, ending: Ending = World.end) -> bool:
    """Whether a world over a store with a bug has a problem that begins so."""
    for seed in range(PLANTED_SEEDS):
        world = await run_in_memory(StoreInMemory(), seed, ending=ending)
        if any(each.startswith(what) for each in world.problems):
            return True
    return False


async def test_planted_acknowledged_before_the_put(monkeypatch: pytest.MonkeyPatch) -> None:
    append = AwsInbox.append

    async def early(self: AwsStore, appends: Any) -> Any:
        with contextlib.suppress(StoreUnavailableError):
            return await append(self, appends)
        return [Receipt(ReceiptStatus.ACCEPTED, each.event.id) for each in appends]

    monkeypatch.setattr(AwsInbox, "append", early)
    assert await found("lost")


async def test_planted_what_fails_is_run_again_as_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item is written whatever stands there meanwhile: a settlement of before takes the lease of another."""

    def unguarded(table: str, key: Any, _base: Any, item: Any, stamp: str) -> Any:
        made = guarded(table, key, _base, item, stamp)
        for given in made.values():
            given.pop("ConditionExpression", None)
        return made

    guarded = units._write
    monkeypatch.setattr(units, "_write", unguarded)
    assert await found("")


async def test_planted_a_counter_beside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Units._commit

    async def apart(self: Units, transaction: Any) -> None:
        counts, transaction.counts = transaction.counts, {}
        await commit(self, transaction)
        transaction.counts = counts
        transaction.items, transaction.bumps, transaction.checks = {}, {}, set()
        await commit(self, transaction)

    monkeypatch.setattr(Units, "_commit", apart)
    assert await found("counted")


async def test_planted_settled_without_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    async def whoever_comes(self: AwsStore, view: View[Any], lease: LeaseRef) -> Any:
        row = await view.get(self.keys.live(lease.delivery_id))
        return None if row is None else to_delivery(row)

    monkeypatch.setattr(AwsInbox, "_held", whoever_comes)
    assert await found("")


async def test_planted_messages_are_believed_and_deleted_before_the_settlement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a message names is delivered, and the message is deleted when it was received."""
    due, receive = AwsInbox._due, Around.receive
    named: dict[Any, set[str]] = {}

    async def of_messages(self: AwsStore, *asked: Any) -> Any:
        rows, later = await due(self, *asked)
        return [row for row in rows if row["id"] in named.get(self.queue and self.queue._client, ())], later

    async def received(self: Around) -> Any:
        messages = await receive(self)
        await self.delete([handle for _, handle in messages])
        named[self.queue] = {each for each, _ in messages}
        return messages

    async def by_messages(world: World) -> None:
        """As `end`, with workers that are called for messages."""
        assert world.around is not None
        world.faults.share = 0.0
        for _ in range(10):
            await world.rescue()
            await world.work()
            world.now_ms += 40_000
        await world.end()

    monkeypatch.setattr(AwsInbox, "_due", of_messages)
    monkeypatch.setattr(Around, "receive", received)
    assert await found("lost", by_messages)


async def test_planted_bodies_are_swept_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_s3, "OLD_MS", -5_000)
    monkeypatch.setattr("longstop.stores.aws.large_bodies.SWEEP_EVERY_MS", 0)
    assert await found("lost a body")


async def test_planted_the_lagging_index_is_asked_whether_a_key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    get, write = View.get, units._write

    async def asked_of_index(self: View[Any], key: Key) -> Item | None:
        table: Any = self._turn.table
        assert isinstance(table, FaultyTable)
        late = table._table.late
        if key[0].startswith("K#") and all((item["pk"], item["sk"]) != key for item in late.items()):
            return None
        return await get(self, key)

    def unguarded(table: str, key: Key, base: Any, item: Any, stamp: str) -> Any:
        made = write(table, key, base, item, stamp)
        if key[0].startswith("K#"):
            made["Put"].pop("ConditionExpression", None)
        return made

    monkeypatch.setattr(View, "get", asked_of_index)
    monkeypatch.setattr(units, "_write", unguarded)
    assert await found("two events")


async def test_planted_a_lane_whose_head_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_stand_in_line(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr("longstop.stores.aws.deliveries.Deliveries._advance", all_stand_in_line)
    assert await found("out of order")
