"""What is left where the process dies, or a service does, between two calls: each row of the table in the docs.

`cut_off` makes the first so many calls of an operation, and none behind them; whoever comes then is another process.
"""

import json
from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from longstop.model.action import Edit
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, DeadReason, OutcomeKind, State
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRef
from longstop.model.listing import DeliveryFilter, EventFilter, History, KeptEvent, Page
from longstop.model.rejection import HoldSettings
from longstop.model.retention import WholeEvent
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append, make_delivery, make_event
from longstop.testing.store_contract.held_requests import make_held
from longstop.testing.store_contract.retention import ALL_GONE
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    LOST,
    delivered,
    lease,
    lease_one,
    parked,
    replay,
    rescued,
    settled,
    standing,
    to_retry,
)

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_fakes import S3InMemory, SqsInMemory
from aws_table import StoreInMemory, TableInMemory
from longstop.stores.aws.dead_queue import DeadQueue
from longstop.stores.aws.dynamodb import Table
from longstop.stores.aws.queue import Queue
from longstop.stores.aws.table import STORE
from longstop.wiring.dead_messages import DeadMessages
from stores_at_hand import Place

LARGE = b"x" * 5_000
OVER = 1_000
HOUR_MS = 3_600_000
ALL = Page(100, newest_first=False)
ROOM = {"shop": HoldSettings()}


class KilledError(Exception):
    """The process is gone."""


class Account:
    """A table, a bucket and a queue, and processes that use them. What they are asked for is in `calls`."""

    def __init__(self) -> None:
        self.now_ms = AT_MS
        self.table = TableInMemory()
        self.bucket = S3InMemory(Random(0), 0.0, lambda: self.now_ms)
        self.sqs = SqsInMemory(Random(0), 0.0, lambda: self.now_ms)
        self.sqs.dead = SqsInMemory(Random(0), 0.0, lambda: self.now_ms)
        self.calls: list[str] = []
        self._left: int | None = None
        for place, names in (
            (self.table, ("get", "query", "transact", "delete")),
            (self.bucket, ("put_object", "get_object", "list_objects_v2", "delete_objects")),
            (self.sqs, ("send_message_batch", "receive_message", "delete_message_batch")),
        ):
            for name in names:
                setattr(place, name, self._counted(name, getattr(place, name)))

    def _counted(self, name: str, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*given: Any, **named: Any) -> Any:
            if self._left is not None and self._left <= 0:
                raise KilledError
            answer = await real(*given, **named)
            self.calls.append(name)
            if self._left is not None:
                self._left -= 1
            return answer

        return call

    async def process(self, queue: bool = False) -> StoreInMemory:
        """Another one, with the store open."""
        store = StoreInMemory(self.table)
        store.now_ms = lambda: self.now_ms
        bodies = self.bucket.bodies()
        await bodies.open()
        store.keep_apart(bodies, OVER)
        if queue:
            store.queue = Queue(self.sqs, "q", store.now_ms)
            store.dead_queue = DeadQueue(self.sqs.dead, "q")
        self.calls.clear()
        return store

    async def cut_off(self, doing: Awaitable[Any], calls: int) -> bool:
        """Do something, and be gone after so many calls; whether it was done before that."""
        self._left = calls
        try:
            await doing
        except KilledError:
            return False
        finally:
            self._left = None
        return True

    def bodies(self) -> set[str]:
        """The names of those in the bucket."""
        return {name.rpartition("/")[2] for name in self.bucket.objects} - {"longstop-bodies"}

    async def swept(self) -> set[str]:
        """What is left of them when the sweep was there, two hours later."""
        self.now_ms += 2 * HOUR_MS
        store = await self.process()
        while await store.give_back():
            pass
        return self.bodies()


@pytest.fixture
def account() -> Account:
    return Account()


# -- an event comes -------------------------------------------------------------------------------


async def test_a_large_body_whose_event_was_not_kept(account: Account) -> None:
    store = await account.process()
    assert not await account.cut_off(store.append([make_append(1, body=LARGE, dedup=b"d")]), 1)
    assert account.calls == ["put_object"]
    other = await account.process()
    assert await other.event(event_id(1)) is None
    (receipt,) = await other.append([make_append(2, body=LARGE, dedup=b"d")])
    assert receipt.status is ReceiptStatus.ACCEPTED
    assert len(account.bodies()) == 2
    (kept,) = await account.swept()
    assert kept.startswith(event_id(2))
    assert (await lease_one(other)).event.body == LARGE


async def test_a_body_of_less_than_an_hour_is_not_swept(account: Account) -> None:
    store = await account.process()
    assert not await account.cut_off(store.append([make_append(1, body=LARGE)]), 1)
    account.now_ms += HOUR_MS - 60_000
    assert not await (await account.process()).give_back()
    assert len(account.bodies()) == 1
    # It is gone through once an hour, and by then this one is old enough.
    account.now_ms += HOUR_MS
    assert not await (await account.process()).give_back()
    assert account.bodies() == set()
    other = await account.process()
    account.now_ms += HOUR_MS - 60_000
    assert not await other.give_back()
    assert "list_objects_v2" not in account.calls


async def test_a_sweep_that_is_cut_off_goes_on_where_it_was(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longstop.aws_api.s3.LISTED_AT_ONCE", 2)
    store = await account.process()
    await store.append([make_append(number, body=LARGE + b"%d" % number) for number in range(3)])
    for number in range(3, 8):
        await account.cut_off(store.append([make_append(number, body=LARGE + b"%d" % number)]), 1)
    account.now_ms += 2 * HOUR_MS
    for calls in range(1, 40):
        other = await account.process()
        await account.cut_off(_sweep(other), calls)
    assert {name[:36] for name in account.bodies()} == {event_id(number) for number in range(3)}


async def _sweep(store: StoreInMemory) -> None:
    while await store.give_back():
        pass


def losing(account: Account) -> None:
    """The answer of the next transaction is lost."""
    done = len(account.table.transactions)

    def lose(number: int) -> None:
        if number == done + 1:
            raise StoreUnavailableError("the answer is lost")

    account.table.after_transaction = lose


async def test_an_append_whose_answer_was_lost(account: Account) -> None:
    store = await account.process()
    losing(account)
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(1, dedup=b"d", body=LARGE)])
    (receipt,) = await store.append([make_append(2, dedup=b"d", body=LARGE)])
    assert (receipt.status, receipt.event_id) == (ReceiptStatus.DUPLICATE, event_id(1))
    assert len(account.bodies()) == 1, "the body of the duplicate is gone, and the first's is not"
    assert (await lease_one(store)).event.body == LARGE


@pytest.mark.parametrize("place", ["aws"], indirect=True)
async def test_a_transaction_that_is_sent_again_is_carried_out_once(place: Place) -> None:
    store: Any = place()
    await store.open()
    table: Table = store.table
    value = {"ExpressionAttributeNames": {"#n": "n"}, "ExpressionAttributeValues": {":n": {"N": "1"}}}
    named = {"TableName": table.name, "Key": {"pk": {"S": "x"}, "sk": {"S": "y"}}}
    add = {"Update": named | value | {"UpdateExpression": "ADD #n :n"}}
    await table.transact([add], "the same token")
    await table.transact([add], "the same token")
    assert (await table.get([("x", "y")]))["x", "y"]["n"] == 1
    await store.close()


async def test_an_event_whose_sender_was_not_answered(account: Account) -> None:
    await (await account.process()).append([make_append(1, dedup=b"d")])
    (receipt,) = await (await account.process()).append([make_append(2, dedup=b"d")])
    assert (receipt.status, receipt.event_id) == (ReceiptStatus.DUPLICATE, event_id(1))


async def test_a_duplicate_whose_body_cannot_be_deleted(account: Account) -> None:
    """A role that may not delete bodies, as that of the function that accepts; or the bucket is away."""
    store = await account.process()
    await store.append([make_append(1, body=LARGE, dedup=b"d")])

    async def denied(**_: Any) -> Any:
        raise OSError("the bucket is away")

    deleting, account.bucket.delete_objects = account.bucket.delete_objects, denied  # type: ignore[method-assign]
    (receipt,) = await store.append([make_append(2, body=LARGE, dedup=b"d")])
    assert receipt.status is ReceiptStatus.DUPLICATE
    account.bucket.delete_objects = deleting  # type: ignore[method-assign]
    assert {name[:36] for name in await account.swept()} == {event_id(1)}


# -- it is told, and delivered --------------------------------------------------------------------


async def test_a_message_that_was_never_sent(account: Account) -> None:
    store = await account.process(queue=True)
    account.sqs.share = 2.0
    with capture_logs():
        await store.append([make_append(1)])
        await store.told()
    account.sqs.share = 0.0
    assert (await account.sqs.receive_message("q", 10))["Messages"] == []
    assert (await lease_one(await account.process())).event.id == event_id(1)


async def test_of_a_batch_of_messages_a_part_fails(account: Account) -> None:
    """Those are sent once more, one by one."""
    store = await account.process(queue=True)
    account.sqs.share = 0.4
    account.sqs._refuse = lambda _call: None  # type: ignore[method-assign]
    with capture_logs():
        await store.append([make_append(number) for number in range(10)])
        await store.told()
    account.sqs.share = 0.0
    told = (await account.sqs.receive_message("q", 10))["Messages"]
    failed = account.sqs.happened["send: a part failed"]
    assert failed > 0
    assert len(told) > 10 - failed


async def test_a_message_that_was_deleted_before_anybody_leased(account: Account) -> None:
    store = await account.process(queue=True)
    await store.append([make_append(1)])
    await store.told()
    (message,) = (await account.sqs.receive_message("q", 10))["Messages"]
    await account.sqs.delete_message_batch("q", [{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}])
    assert (await lease_one(await account.process())).event.id == event_id(1)


async def test_a_message_that_comes_again_when_all_is_done(account: Account) -> None:
    store = await account.process(queue=True)
    await store.append([make_append(1)])
    await settled(store, delivered(await lease_one(store)))
    assert await store.standing_in_line([delivery_id(event_id(1), 0)]) == []
    assert (await lease(store, AT_MS + 10**6)).claims == ()


async def test_a_lease_whose_answer_was_lost(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    losing(account)
    with pytest.raises(StoreUnavailableError):
        await lease(store)
    assert (await lease(store)).claims == ()
    await _comes_back(account)


async def test_a_lease_whose_event_was_not_read(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    claimed = (await _calls_of(account, lease)) - 1
    assert not await account.cut_off(lease(await account.process()), claimed)
    await _comes_back(account)


async def _calls_of(account: Account, doing: Callable[[StoreInMemory], Awaitable[Any]]) -> int:
    """How many calls it takes: on a copy of what is there."""
    copy = Account()
    for key, item in account.table.items.items():
        copy.table.write(key, dict(item))
    copy.bucket.objects = dict(account.bucket.objects)
    await doing(await copy.process())
    return len(copy.calls)


async def _comes_back(account: Account) -> None:
    other = await account.process()
    (lost,) = await other.expired(AT_MS + LEASE_MS, 10)
    assert lost.state is State.LEASED
    claim = SimpleNamespace(delivery=lost)
    await rescued(other, claim, AT_MS + LEASE_MS)  # type: ignore[arg-type]
    (attempt,) = (await other.history(lost.id)).attempts
    assert (attempt.outcome, attempt.error) == (OutcomeKind.LOST, LOST.error)
    again = await lease_one(other, AT_MS + LEASE_MS)
    assert again.delivery.attempts == 1


async def test_a_lease_whose_body_cannot_be_had(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1, body=LARGE), make_append(2)])
    getting = account.bucket.get_object

    async def away(**_: Any) -> Any:
        raise OSError("the bucket is away")

    account.bucket.get_object = away  # type: ignore[method-assign]
    with capture_logs() as logs:
        assert (await lease_one(store)).event.id == event_id(2)
    assert [each["event_id"] for each in logs if each["event"] == "body_away"] == [event_id(1)]
    account.bucket.get_object = getting  # type: ignore[method-assign]
    claim = await lease_one(store, AT_MS + 5_000)
    assert (claim.event.body, claim.delivery.attempts, claim.delivery.lost) == (LARGE, 0, 0)


async def test_an_attempt_that_nobody_told_of(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    await lease_one(store)
    await _comes_back(account)


async def test_a_settlement_whose_answer_was_lost(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    claim = await lease_one(store)
    losing(account)
    with pytest.raises(StoreUnavailableError):
        await store.settle([delivered(claim)])
    (lost,) = await store.settle([delivered(claim)])
    assert lost is not None
    assert (await standing(store, claim.delivery.id)).state is State.DELIVERED
    assert len((await store.history(claim.delivery.id)).attempts) == 1
    assert (await store.counts()).deliveries["crm"] == {State.DELIVERED: 1}


async def test_an_extension_whose_answer_was_lost(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    claim = await lease_one(store)
    losing(account)
    ref, until_ms = LeaseRef(claim.delivery.id, claim.delivery.token), AT_MS + 2 * LEASE_MS
    with pytest.raises(StoreUnavailableError):
        await store.extend([ref], until_ms)
    assert await store.expired(AT_MS + LEASE_MS, 10) == []
    assert await store.extend([ref], until_ms) == [None]


async def test_a_circuit_that_was_opened_and_its_answer_lost(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    opened = Circuit("crm", AT_MS, AT_MS + 10**6, 1_000, "it is away")
    losing(account)
    with pytest.raises(StoreUnavailableError):
        await store.change_circuit("crm", 0, opened)
    assert not await store.change_circuit("crm", 0, opened)
    batch = await lease(await account.process())
    assert (batch.claims, batch.circuits) == ((), {"crm": opened})


# -- what the queue gives up ----------------------------------------------------------------------


async def seen_to(account: Account, store: StoreInMemory) -> int:
    clock: Any = SimpleNamespace(now_ms=lambda: account.now_ms)
    with capture_logs():
        return await DeadMessages(store, "eventbridge", clock, IdFactory(Random(1))).see_to()


async def test_a_dead_message_that_was_seen_to_and_not_deleted(account: Account) -> None:
    store = await account.process(queue=True)
    await store.append([make_append(1)])
    await lease_one(store)
    assert account.sqs.dead is not None
    account.sqs.dead.put(json.dumps({"delivery": delivery_id(event_id(1), 0)}), 0)
    account.sqs.dead.put("no event at all", 0)
    account.sqs.dead.share, account.now_ms = 2.0, AT_MS + LEASE_MS
    account.sqs.dead._refuse = lambda _call: None  # type: ignore[method-assign]
    for _ in range(2):
        await seen_to(account, store)
        account.now_ms += 60_000
    account.sqs.dead.share = 0.0
    await seen_to(account, store)
    account.now_ms += 10 * 60_000
    assert await seen_to(account, store) == 0
    dead = (await store.find_deliveries(DeliveryFilter(state=State.DEAD), ALL)).rows
    assert [each.reason for each in dead] == [DeadReason.CRASHED] * 2
    (crashed,) = [each for each in dead if each.destination == "crm"]
    (attempt,) = (await store.history(crashed.id)).attempts
    assert attempt.outcome is OutcomeKind.LOST


async def test_a_dead_message_that_cannot_be_kept_is_in_no_others_way(account: Account) -> None:
    """As one of 1 MiB, without a bucket."""
    store = await account.process(queue=True)
    store._bodies = None
    assert account.sqs.dead is not None
    account.sqs.dead.put("x" * 2**20, 0)
    account.sqs.dead.put("no event at all", 0)
    assert await seen_to(account, store) == 1
    (kept,) = (await store.find_events(EventFilter(), ALL)).rows
    assert kept.listed_bytes == len("no event at all")
    account.now_ms += 60_000
    bodies = account.bucket.bodies()
    await bodies.open()
    store.keep_apart(bodies, OVER)
    assert await seen_to(account, store) == 1


# -- what people ask, and what is forgotten -------------------------------------------------------


async def test_a_decision_whose_answer_was_lost(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    losing(account)
    with pytest.raises(StoreUnavailableError):
        await store.act([replay(dead.id)])
    assert await store.act([replay(dead.id)]) == [None], "it stands as decided"
    assert len((await store.history(dead.id)).actions) == 1
    assert (await lease_one(store, AT_MS + 1_000)).delivery.round == 2


async def test_a_large_body_of_an_edit_that_was_not_kept(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    edited = make_append(2, body=LARGE, parent=event_id(1))
    edit = Edit(event_id(2), event_id(1), AT_MS, "ada", None)
    assert not await account.cut_off(store.replace(edited, edit, []), 1)
    assert len(account.bodies()) == 1
    assert (await store.event(event_id(1))).edits == ()  # type: ignore[union-attr]
    assert await account.swept() == set()


async def test_an_event_that_was_forgotten_and_its_body_was_not(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1, body=LARGE), make_append(2, body=LARGE)])
    await settled(store, delivered((await lease(store)).claims[0]))
    calls = await _calls_of(account, lambda other: other.forget([event_id(1)], ALL_GONE))
    assert not await account.cut_off(store.forget([event_id(1)], ALL_GONE), calls - 1)
    assert await store.event(event_id(1)) is None
    assert len(account.bodies()) == 2
    assert {name[:36] for name in await account.swept()} == {event_id(2)}


def long_lived(attempts: int, to: int) -> WholeEvent:
    """An event of so many deliveries, each dead after so many attempts."""
    event = make_event(1, key=None, dedup=b"d")
    dead = [
        make_delivery(
            event,
            f"d{place}",
            place,
            state=State.DEAD,
            reason=DeadReason.EXHAUSTED,
            ended_at_ms=AT_MS,
            attempts=attempts,
            last_error="no",
        )
        for place in range(to)
    ]
    tried = tuple(Attempt(number, 1, AT_MS, 5, OutcomeKind.RETRY, 503, "no") for number in range(1, attempts + 1))
    return WholeEvent(KeptEvent(event, 0, tuple(dead)), (History(tried, ()),) * to, None)


@pytest.mark.parametrize(("attempts", "to"), [(150, 1), (40, 3), (2, 12)])
async def test_more_than_a_transaction_takes_is_restored_and_forgotten_whenever_it_is_cut_off(
    account: Account, attempts: int, to: int
) -> None:
    whole = long_lived(attempts, to)
    calls = 1
    while not await account.cut_off((await account.process()).restore([whole]), calls):
        calls += 3
    store = await account.process()
    (kept,) = await store.whole([event_id(1)])
    assert kept == whole
    while not await account.cut_off((await account.process()).forget([event_id(1)], ALL_GONE), calls):
        calls += 3
    left = {key[0][:2] for key in account.table.items} - {"M", "C#", "CG", "G", "GH", "G#", "GK"}
    assert left == set(), "nothing is left of it but counters"
    assert (await store.counts()).deliveries == {}
    assert await store.dead_groups() == []


async def test_an_event_that_died_for_many_destinations_is_forgotten(account: Account) -> None:
    store = await account.process()
    names = [f"d{number}" for number in range(30)]
    await store.append([make_append(1, to=tuple(names))])
    for claim in (await lease(store, **dict.fromkeys(names, 1))).claims:
        await settled(store, parked(claim))
    calls = 1
    while not await account.cut_off((await account.process()).forget([event_id(1)], ALL_GONE), calls):
        calls += 7
    assert (await store.counts()).deliveries == {}
    assert not [key for key in account.table.items if key[0].startswith(("A#", "E#"))]


async def test_some_of_the_old_attempts_are_gone(account: Account) -> None:
    store = await account.process()
    await store.append([make_append(1)])
    for number in range(3):
        await settled(store, to_retry(await lease_one(store, AT_MS + number), AT_MS + number + 1))
    await settled(store, delivered(await lease_one(store, AT_MS + 3)))
    calls = 1
    while not await account.cut_off((await account.process()).forget_attempts([event_id(1)], AT_MS + 10**6), calls):
        calls += 1
    assert (await store.history(delivery_id(event_id(1), 0))).attempts == ()
    assert (await standing(store, delivery_id(event_id(1), 0))).attempts == 4


@pytest.mark.parametrize("calls", range(1, 6))
async def test_a_large_body_of_a_held_request_that_was_not_held(account: Account, calls: int) -> None:
    held = make_held(1, LARGE)
    done = await account.cut_off((await account.process()).hold([held], ROOM), calls)
    store = await account.process()
    assert await store.hold([held], ROOM) == [True]
    assert len(await account.swept()) == 1, "it is a held request's, and stays"
    assert (await store.held_requests("shop", ALL)).rows == (held,)
    assert done is (calls > 3)


@pytest.mark.parametrize("calls", range(1, 6))
async def test_a_held_request_that_was_let_go_and_its_body_was_not(account: Account, calls: int) -> None:
    store = await account.process()
    await store.hold([make_held(1, LARGE), make_held(2, LARGE)], ROOM)
    await account.cut_off(store.drop_held("shop", [event_id(1)]), calls)
    await (await account.process()).drop_held("shop", [event_id(1)])
    (kept,) = await account.swept()
    assert kept.startswith(event_id(2))
    (count,) = await store.held_counts()
    assert (count.requests, count.bytes) == (1, len(LARGE))


async def test_a_large_held_request_without_room_is_not_put_into_the_bucket(account: Account) -> None:
    store = await account.process()
    assert await store.hold([make_held(1, LARGE)], {"shop": HoldSettings(max_bytes=100)}) == [False]
    assert "put_object" not in account.calls


async def test_a_large_held_request_that_is_released_keeps_its_body(account: Account) -> None:
    """It becomes an event of the id that it has, and what is held is let go behind that."""
    store = await account.process()
    held = make_held(1, LARGE)
    await store.hold([held], ROOM)
    await store.append([make_append(1, body=LARGE)])
    assert len(account.bodies()) == 2
    await store.drop_held("shop", [held.id])
    assert len(await account.swept()) == 1
    assert (await lease_one(store)).event.body == LARGE


@pytest.mark.parametrize("calls", range(1, 8))
async def test_a_store_that_was_opened_for_the_first_time_and_cut_off(account: Account, calls: int) -> None:
    """The bucket has its mark, and the table does not know it yet."""
    store = StoreInMemory(account.table)
    store.keep_apart(account.bucket.bodies(), OVER)
    await account.cut_off(store._find_place(), calls)
    other = StoreInMemory(account.table)
    other.keep_apart(account.bucket.bodies(), OVER)
    await other._find_place()
    again = StoreInMemory(account.table)
    again.keep_apart(account.bucket.bodies(), OVER)
    await again._find_place()
    kept = await account.table.get([STORE])
    assert kept[STORE]["bodies"] == await account.bucket.bodies().open()
