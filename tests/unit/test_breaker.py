"""Circuits at work: a dispatcher over a store, a destination that goes down, asks to be left alone, comes back."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from services import FAILED, REJECTED, Noted, Works, all_deliveries, on_virtual_time, settle_down, states
from structlog.testing import capture_logs

from longstop.delivering.attempt import Destination
from longstop.delivering.dispatch import Dispatch, breaker_of
from longstop.model.append import Append
from longstop.model.breaker import BreakerPolicy, Circuit, CircuitChange
from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, State
from longstop.model.lease import Claim
from longstop.model.retry import RetryPolicy
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.fakes import ScriptedSender

BREAKER = BreakerPolicy(failures=4, calls=1_000, probe_ms=1_000, probe_cap_ms=8_000, probes=2)
ONCE = RetryPolicy(attempts=2, first_ms=100, jitter="none")


async def circuit_of(works: Works) -> Circuit | None:
    found = await works.store.circuits()
    return found[0] if found else None


@on_virtual_time
async def test_failures_in_a_row_open_it_and_the_rest_waits_without_spending_attempts() -> None:
    sender = ScriptedSender(otherwise=FAILED)
    async with Works(policy=ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 101)])
        await settle_down()
        circuit = await circuit_of(works)
        assert circuit is not None
        assert (circuit.why, circuit.opened_at_ms) == ("4 events in a row failed", AT_MS)
        assert len(sender.sent) == 4
        await works.clock.sleep(100)
        found = await all_deliveries(works.store)
        assert all(each.state is State.SCHEDULED for each in found), "nobody dies of an outage"
        assert sum(each.tries for each in found) == 4, "probes are at nobody's expense"


@on_virtual_time
async def test_probes_go_out_one_at_a_time_and_less_and_less_often() -> None:
    sender = ScriptedSender(otherwise=FAILED)
    async with Works(policy=ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 101)])
        await settle_down()
        times = []
        for count in range(5, 10):
            await sender.began(count)
            times.append(works.clock.now_ms() - AT_MS)
        # 1 s after the opening, then 2, 4, 8 and 8 s after the last one.
        assert times == [1_000, 3_000, 7_000, 15_000, 23_000]


@on_virtual_time
async def test_it_closes_after_its_probes_and_begins_with_one_at_a_time() -> None:
    sender = ScriptedSender(*[FAILED] * 4)
    async with Works(policy=ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 41)])
        await settle_down()
        gate = sender.hold()
        await works.clock.sleep(1.001)
        assert len(sender.sent) == 5, "one probe"
        gate.set()
        gate = sender.hold()
        await settle_down()
        assert len(sender.sent) == 6, "then another"
        gate.set()
        gate = sender.hold()
        await settle_down()
        assert await circuit_of(works) is None
        assert len(sender.sent) == 7, "closed, and no more than one at a time"
        gate.set()
        await settle_down(500)
        await works.clock.sleep(1)
        assert set(await states(works.store)) == {State.DELIVERED}


@on_virtual_time
async def test_one_that_asks_for_time_is_left_alone_as_a_whole() -> None:
    sender = ScriptedSender(replace(FAILED, retry_after_s=30.0))
    async with Works(breaker=BREAKER, crm=(sender, 1), lake=ScriptedSender()) as works:
        await works.store.append([make_append(1), make_append(2), make_append(3, to=("lake",))])
        await settle_down()
        circuit = await circuit_of(works)
        assert circuit is not None
        assert circuit.why == "it asked to be left alone for 30 s (HTTP 503)"
        await works.clock.sleep(29.9)
        assert len(sender.sent) == 1
        assert (await states(works.store))[2] is State.DELIVERED, "others are not meant"
        await works.clock.sleep(0.2)
        assert set(await states(works.store)) == {State.DELIVERED}


@on_virtual_time
async def test_one_that_was_under_way_and_asks_for_more_time_gets_it() -> None:
    sender = ScriptedSender(FAILED, FAILED, FAILED, FAILED, replace(FAILED, status=429, retry_after_s=60.0))
    held: list[Claim] = []

    class Slow(ScriptedSender):
        async def send(self, claim: Claim, attempt: int) -> Outcome:
            held.append(claim)
            if len(held) == 5:
                await works.clock.sleep(0.5)
            return await sender.send(claim, attempt)

    async with Works(breaker=BREAKER, crm=(Slow(), 5)) as works:
        await works.store.append([make_append(n) for n in range(1, 10)])
        await works.clock.sleep(0.6)
        circuit = await circuit_of(works)
        assert circuit is not None
        assert circuit.probe_at_ms == AT_MS + 500 + 60_000


@pytest.mark.parametrize(
    ("retry_after_s", "tries", "put_off"), [(None, 0, False), (1.0, 0, False), (1.001, 0, True), (60.0, 3, False)]
)
def test_one_that_was_under_way_puts_the_probe_off_only_where_it_asks_for_longer(
    retry_after_s: float | None, tries: int, put_off: bool
) -> None:
    @on_virtual_time
    async def scenario() -> None:
        works = Works(crm=ScriptedSender())
        crm = Destination("crm", ScriptedSender(), ONCE, 4, breaker=BREAKER)
        breaker = breaker_of(crm, works.store, works.clock)
        # Without a wait of its own the probe is due already, and may be under way.
        wait_ms = 1_000 if retry_after_s else -1_000
        circuit = Circuit("crm", AT_MS, AT_MS + wait_ms, 15_000, "…")
        await works.store.change_circuit("crm", 0, circuit)
        breaker.seen(circuit)
        delivery = make_delivery(make_event(1), tries=tries)
        await breaker.ended(delivery, replace(FAILED, retry_after_s=retry_after_s), 0, None)
        assert (await circuit_of(works) != circuit) is put_off

    scenario()


@on_virtual_time
async def test_rejections_and_handlers_that_ask_for_time_open_nothing() -> None:
    later = Outcome(OutcomeKind.RETRY, error="locked", retry_after_s=5.0)
    sender = ScriptedSender(*[REJECTED, later] * 10)
    async with Works(breaker=BREAKER, crm=sender) as works:
        await works.store.append([make_append(n) for n in range(1, 21)])
        await settle_down()
        assert len(sender.sent) == 20
        assert await circuit_of(works) is None


@on_virtual_time
async def test_switched_off_it_opens_nothing() -> None:
    sender = ScriptedSender(otherwise=FAILED)
    async with Works(policy=ONCE, breaker=replace(BREAKER, enabled=False), crm=sender) as works:
        await works.store.append([make_append(n) for n in range(1, 21)])
        await works.clock.sleep(1)
        assert await circuit_of(works) is None
        assert set(await states(works.store)) == {State.DEAD}


@on_virtual_time
async def test_what_expires_behind_an_open_circuit_is_dead_and_was_not_sent() -> None:
    sender = ScriptedSender(*[FAILED] * 4)
    async with Works(breaker=replace(BREAKER, probe_ms=60_000, probe_cap_ms=60_000), crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 5)])
        await settle_down()
        event = make_event(5)
        late = make_delivery(event, expires_at_ms=AT_MS + 5_000)
        await works.store.append([Append(event, (late,))])
        await works.clock.sleep(6.1)
        found = await works.store.delivery(late.id)
        assert (found.state, found.reason, found.attempts) == (State.DEAD, DeadReason.EXPIRED, 0)
        assert len(sender.sent) == 4


@on_virtual_time
async def test_all_workers_of_a_store_leave_it_alone() -> None:
    store = MemoryStore()
    first, second = ScriptedSender(otherwise=FAILED), ScriptedSender(otherwise=FAILED)
    async with Works(store, ONCE, breaker=BREAKER, crm=(first, 4)) as one:
        await store.append([make_append(n) for n in range(1, 101)])
        await settle_down()
        other = Dispatch(
            store, one.deliver, [Destination("crm", second, ONCE, 4, breaker=BREAKER)], one.clock, "worker-2", 30_000
        )
        running = asyncio.create_task(other.run())
        await one.clock.sleep(0.9)
        assert (len(first.sent), len(second.sent)) == (4, 0)
        await one.clock.sleep(30)
        assert len(first.sent) + len(second.sent) == 4 + 5, "the probes are shared, too"
        running.cancel()


@on_virtual_time
async def test_a_probe_whose_worker_died_is_followed_by_another() -> None:
    store = MemoryStore()
    sender = ScriptedSender(*[FAILED] * 4)
    async with Works(store, ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        await store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        sender.hold()
        await works.clock.sleep(1.001)
        assert len(sender.sent) == 5
        await works.crash()
        after = ScriptedSender()
        async with Works(store, ONCE, breaker=BREAKER, crm=(after, 4)) as restarted:
            await after.began(1)
            assert restarted.clock.now_ms() - AT_MS >= 1_000 + 15_000


@on_virtual_time
async def test_a_store_that_is_down_does_not_lose_the_opening() -> None:
    sender = ScriptedSender(otherwise=FAILED)
    async with Works(policy=ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        works.store.fail("change_circuit", times=1)
        with capture_logs() as logged:
            await works.store.append([make_append(n) for n in range(1, 101)])
            await settle_down(500)
        (told,) = (each for each in logged if each["event"] == "circuit_failed")
        assert (told["log_level"], told["destination"]) == ("debug", "crm")
        assert "told to fail" in told["error"]
        assert await circuit_of(works) is not None
        assert len(sender.sent) <= 9


@on_virtual_time
async def test_opening_and_closing_are_told_once_with_why_and_for_how_long() -> None:
    noted = Noted()
    sender = ScriptedSender(*[FAILED] * 5)
    async with Works(policy=ONCE, breaker=BREAKER, listeners=[noted], crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        opened = CircuitChange("crm", "opened", "4 events in a row failed", AT_MS)
        assert noted.changes == [opened]
        # A probe after 1 s fails, one after 2 s more succeeds, and so does the next.
        await works.clock.sleep(60)
        closed = CircuitChange("crm", "closed", "its probes succeeded", AT_MS + 3_000, open_s=3.0)
        assert noted.changes == [opened, closed]


@on_virtual_time
async def test_what_becomes_of_a_circuit_is_told_in_the_log_too() -> None:
    sender = ScriptedSender(*[FAILED] * 5)
    async with Works(policy=ONCE, breaker=BREAKER, crm=(sender, 4)) as works:
        with capture_logs() as logged:
            await works.store.append([make_append(n) for n in range(1, 11)])
            await works.clock.sleep(60)
    told = [each for each in logged if each["event"] in {"circuit_opened", "probe_failed", "circuit_closed"}]
    probe = {"destination": "crm", "probe_at_ms": AT_MS + 1_000}
    assert told == [
        {"event": "circuit_opened", "log_level": "error", "why": "4 events in a row failed", **probe},
        {"event": "probe_failed", "log_level": "warning", "error": FAILED.error, **probe, "probe_at_ms": AT_MS + 3_000},
        {"event": "circuit_closed", "log_level": "info", "destination": "crm", "after_s": 3.0},
    ]


@pytest.mark.parametrize(
    ("asked_s", "tries", "waits_ms"), [(60.0, 0, 60_000), (1e9, 0, 3_600_000), (60.0, 3, 2_000), (None, 0, 2_000)]
)
def test_a_probe_that_asks_for_time_gets_it_up_to_the_cap_unless_it_asks_for_its_event_only(
    asked_s: float | None, tries: int, waits_ms: int
) -> None:
    @on_virtual_time
    async def scenario() -> None:
        works = Works(crm=ScriptedSender())
        crm = Destination("crm", ScriptedSender(), ONCE, 4, breaker=BREAKER)
        breaker = breaker_of(crm, works.store, works.clock)
        circuit = Circuit("crm", AT_MS, AT_MS, 15_000, "…")
        await works.store.change_circuit("crm", 0, circuit)
        delivery = make_delivery(make_event(1), tries=tries)
        await breaker.ended(delivery, replace(FAILED, retry_after_s=asked_s), 0, circuit)
        after = await circuit_of(works)
        assert after is not None
        assert after.probe_at_ms == AT_MS + waits_ms
        assert breaker.is_open

    scenario()


@on_virtual_time
async def test_while_it_is_being_opened_nothing_begins_and_nobody_opens_it_again() -> None:
    works = Works(crm=ScriptedSender())
    crm = Destination("crm", ScriptedSender(), ONCE, 4, breaker=BREAKER)
    breaker = breaker_of(crm, works.store, works.clock)
    gate = works.store.stall("change_circuit")
    ends = [
        asyncio.create_task(breaker.ended(make_delivery(make_event(number)), FAILED, 0, None)) for number in range(1, 8)
    ]
    await settle_down()
    assert (breaker.room(), works.store.calls["change_circuit"]) == (0, 1)
    gate.set()
    await asyncio.gather(*ends)
    assert (breaker.room(), breaker.is_open) == (4, True)


@on_virtual_time
async def test_of_several_workers_the_one_that_did_it_tells() -> None:
    store, ours, theirs = MemoryStore(), Noted(), Noted()
    sender = ScriptedSender(*[FAILED] * 8)
    async with (
        Works(store, ONCE, breaker=BREAKER, listeners=[ours], crm=(sender, 4)) as one,
        Works(store, ONCE, "worker-2", breaker=BREAKER, listeners=[theirs], crm=(sender, 4)) as other,
    ):
        await store.append([make_append(n) for n in range(1, 41)])
        await settle_down()
        assert (one.dispatch.is_open("crm"), await circuit_of(one) is not None) == (True, True)
        await one.clock.sleep(60)
        assert sorted(each.change for each in (*ours.changes, *theirs.changes)) == ["closed", "opened"]
        assert (one.dispatch.is_open("crm"), other.dispatch.is_open("crm")) == (False, False)


@on_virtual_time
async def test_what_another_process_opens_and_closes_is_seen_and_not_told() -> None:
    noted = Noted()
    async with Works(breaker=BREAKER, listeners=[noted], crm=ScriptedSender()) as works:
        circuit = Circuit("crm", AT_MS, AT_MS + 600_000, 15_000, "elsewhere")
        await works.store.change_circuit("crm", 0, circuit)
        assert not works.dispatch.is_open("crm")
        await works.clock.sleep(1.1)
        assert works.dispatch.is_open("crm")
        await works.store.change_circuit("crm", 1, None)
        await works.clock.sleep(1.1)
        assert not works.dispatch.is_open("crm")
        assert noted.changes == []


@on_virtual_time
async def test_a_probe_that_succeeds_after_a_person_closed_the_circuit_tells_nothing() -> None:
    noted = Noted()
    sender = ScriptedSender(*[FAILED] * 4)
    async with Works(breaker=replace(BREAKER, probes=1), listeners=[noted], crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        gate = sender.hold()
        await sender.began(5)
        circuit = await circuit_of(works)
        assert circuit is not None
        assert await works.store.change_circuit("crm", circuit.version, None)
        gate.set()
        await works.clock.sleep(20)
        assert set(await states(works.store)) == {State.DELIVERED}
        assert [each.change for each in noted.changes] == ["opened"]


@on_virtual_time
async def test_a_watch_that_raises_harms_no_delivery_and_keeps_nothing_from_the_next() -> None:
    broken, noted = Noted(RuntimeError("a fault")), Noted()
    sender = ScriptedSender(*[FAILED] * 4)
    async with Works(policy=ONCE, breaker=BREAKER, listeners=[broken, noted], crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 11)])
        # Less than a lease: what is not settled by then was harmed.
        with capture_logs() as logged:
            await works.clock.sleep(20)
        assert [each["destination"] for each in logged if each["event"] == "watch_failed"] == ["crm"] * 2
        assert set(await states(works.store)) == {State.DELIVERED}
        assert [each.change for each in noted.changes] == ["opened", "closed"] == [e.change for e in broken.changes]


@on_virtual_time
async def test_a_rate_is_kept() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        destination = Destination("slow", sender, ONCE, 32, rate_per_s=10.0)
        dispatch = Dispatch(works.store, works.deliver, [destination], works.clock, "worker-2", 30_000)
        running = asyncio.create_task(dispatch.run())
        await works.store.append([make_append(n, to=("slow",)) for n in range(1, 101)])
        await works.clock.sleep(0.01)
        assert len(sender.sent) == 1
        await works.clock.sleep(5)
        assert 49 <= len(sender.sent) <= 52
        await works.clock.sleep(5.5)
        assert len(sender.sent) == 100
        running.cancel()


@on_virtual_time
async def test_a_rate_is_one_for_all_workers_that_share_it() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        destination = Destination("slow", sender, ONCE, 32, rate_per_s=10.0)
        one, two = (
            Dispatch(works.store, works.deliver, [destination], works.clock, f"worker-{n}", 30_000) for n in (2, 3)
        )
        one.share(2)
        two.share(2)
        running = [asyncio.create_task(each.run()) for each in (one, two)]
        await works.store.append([make_append(n, to=("slow",)) for n in range(1, 201)])
        await works.clock.sleep(5)
        assert 49 <= len(sender.sent) <= 53
        # The other is killed, and what it had becomes this one's.
        running[1].cancel()
        await works.clock.sleep(5)
        assert 73 <= len(sender.sent) <= 78
        one.share(1)
        await works.clock.sleep(5)
        assert 122 <= len(sender.sent) <= 128
        running[0].cancel()


class Down(ScriptedSender):
    """Refuses until a time, and takes a moment for everything."""

    def __init__(self, until_ms: int) -> None:
        super().__init__()
        self._until_ms = until_ms
        self.clock: object = None
        self.times: list[int] = []
        self.order: dict[str, list[str]] = {}

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        works: Works = self.clock  # type: ignore[assignment]
        self.times.append(works.clock.now_ms())
        await works.clock.sleep(0.005)
        if self.times[-1] < self._until_ms:
            return Outcome(OutcomeKind.RETRY, error="connection refused")
        self.order.setdefault(claim.delivery.key or "", []).append(claim.event.id)
        return Outcome(OutcomeKind.SUCCESS, status=204)


def in_key(number: int, keys: int) -> Append:
    event = make_event(number, key=f"k{number % keys}")
    return Append(event, (make_delivery(event, lane=event.key),))


@pytest.mark.parametrize(("kind", "events"), [("memory", 50_000), ("sqlite", 50_000)])
def test_ten_minutes_of_outage(kind: str, events: int, tmp_path: Path) -> None:
    @on_virtual_time
    async def scenario() -> None:
        store: Store = MemoryStore()
        if kind == "sqlite":
            store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
        await store.open()
        sender = Down(AT_MS + 600_000)
        policy = RetryPolicy()
        async with Works(store, policy, breaker=BreakerPolicy(), crm=(sender, 32)) as works:
            sender.clock = works
            for start in range(1, events + 1, 500):
                await store.append([in_key(n, 1_000) for n in range(start, min(start + 500, events + 1))])
            await works.clock.sleep(599)
            down = len(sender.times)
            print(f"{kind}: {down} requests while down, {events} events behind")
            opened = (await store.circuits())[0]
            probes = [at_ms for at_ms in sender.times if at_ms > opened.opened_at_ms]
            assert len(sender.times) - len(probes) <= 2 * 32
            gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
            assert all(gap >= 1_000 for gap in gaps), "more than one for each probe interval"
            assert len(probes) <= 5 + 600 // 30
            await works.clock.sleep(40)
            for _ in range(100):
                if not (await store.counts()).deliveries["crm"].get(State.SCHEDULED):
                    break
                await works.clock.sleep(10)
            assert dict((await store.counts()).deliveries["crm"]) == {State.DELIVERED: events}
            assert all(ids == sorted(ids) for ids in sender.order.values()), "out of order within a key"
            assert sum(map(len, sender.order.values())) == events
        await store.close()

    scenario()


def test_a_probe_is_not_counted_against_the_budget() -> None:
    delivery: Delivery = make_delivery(make_event(1))
    assert delivery.tried(FAILED, probe=True).tries == 0
    assert delivery.tried(FAILED, probe=True).attempts == 1
