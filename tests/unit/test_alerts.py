"""The alerts' service: what is decided is told once, whatever is killed or races; and never about itself."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from services import Works, on_virtual_time, settle_down
from structlog.testing import capture_logs

from longstop.delivering.attempt import Destination
from longstop.model.action import Action
from longstop.model.alert import Alert, Notice, Severity, Wanted
from longstop.model.alert_book import AlertBook, Silence, Standing
from longstop.model.alert_channel import AlertsSettings, ChannelSettings
from longstop.model.alert_conditions import AlertPolicy
from longstop.model.breaker import Circuit, CircuitChange
from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Event, Origin
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.node import Node
from longstop.model.statistics import MINUTES, Bucket
from longstop.operating.alerts import LOOK_EVERY_S, Alerts
from longstop.operating.masking import Masking
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore, ScriptedSender

TEAM = ChannelSettings("team", "slack", "https://a.example")
PAGER = ChannelSettings("pager", "pagerduty", "https://b.example", "key", wanted=Wanted(Severity.ERROR))
SETTINGS = AlertsSettings((TEAM,))


def service(store: Store, settings: AlertsSettings = SETTINGS, seed: int = 1, **given: Any) -> Alerts:
    return Alerts(store, settings, ["shop"], VirtualClock(), IdFactory(random.Random(seed)), **given)


async def events(store: Store) -> list[Event]:
    """The alerts that are in the queue, oldest first."""
    found = await store.find_events(EventFilter(source="longstop"), Page(1_000, newest_first=False))
    whole = [await store.event(each.event.id) for each in found.rows]
    return [kept.event for kept in whole if kept is not None]


async def told(store: Store) -> list[str]:
    """What they say, `kind.status subject`."""
    notices = [Notice.from_body(each.body) for each in await events(store)]
    return [f"{notice.kind}.{notice.status} {alert.subject}" for notice in notices for alert in notice.alerts]


async def deliveries(store: Store) -> list[Delivery]:
    found = await store.find_deliveries(DeliveryFilter(source="longstop"), Page(1_000, newest_first=False))
    return list(found.rows)


async def one_dies(store: Store, number: int = 1, destination: str = "crm", error: str = "HTTP 422") -> Delivery:
    """A delivery is tried, and dead."""
    await store.append([make_append(number, to=(destination,))])
    now_ms = VirtualClock().now_ms()
    claims = (await store.lease(LeaseRequest("w", {destination: 9}, now_ms + 10**6, now_ms + 2 * 10**6))).claims
    (leased,) = [each.delivery for each in claims]
    tried = leased.tried(Outcome(OutcomeKind.REJECT, status=422, error=error))
    dead = tried.after(Transition(Trigger.PARK, now_ms, reason=DeadReason.REJECTED))
    assert await store.settle([Settlement(dead)]) == [None]
    return dead


async def look(alerts: Alerts, times: int = 1) -> None:
    for _ in range(times):
        await alerts.look()
        await alerts.send()
        await VirtualClock().sleep(LOOK_EVERY_S)


# -- the way through the queue ------------------------------------------------------------------


@on_virtual_time
async def test_a_dead_letter_becomes_an_event_of_longstops_own_with_a_delivery_to_each_channel() -> None:
    store = MemoryStore()
    alerts = service(store, AlertsSettings((TEAM, PAGER)))
    dead = await one_dies(store)
    await look(alerts, 5)
    (event,) = await events(store)
    assert (event.source, event.type, event.key) == ("longstop", "dead_letters.firing", "dead_letters:crm")
    assert event.origin is Origin.ALERT
    made = await deliveries(store)
    assert [(each.destination, each.state, each.lane) for each in made] == [
        ("alerts.team", State.SCHEDULED, "longstop:dead_letters"),
        ("alerts.pager", State.SCHEDULED, "longstop:dead_letters"),
    ]
    (alert,) = Notice.from_body(event.body).alerts
    assert alert.facts["sample"] == [dead.id]
    assert "rejected 422" in alert.why or "HTTP 422" in alert.why


@on_virtual_time
async def test_when_the_last_one_is_gone_it_is_over() -> None:
    store = MemoryStore()
    alerts = service(store)
    dead = await one_dies(store)
    await look(alerts, 3)
    discard = Transition(Trigger.DISCARD, VirtualClock().now_ms())
    await store.act([Action(dead.id, discard, "ann", "old")])
    await look(alerts, 10)
    assert await told(store) == ["dead_letters.firing crm", "dead_letters.resolved crm"]


@on_virtual_time
async def test_a_channel_gets_what_it_takes() -> None:
    store = MemoryStore()
    only_disk = replace(TEAM, name="disks", wanted=Wanted(kinds=frozenset({"disk_low"})))
    alerts = service(store, AlertsSettings((PAGER, only_disk)))
    await store.append([make_append(1)])
    await VirtualClock().sleep(11 * 60)
    await look(alerts)
    assert await told(store) == [], "a backlog is a warning, and no channel takes that"
    await one_dies(store, 2, "lake")
    await look(alerts)
    assert [each.destination for each in await deliveries(store)] == ["alerts.pager"]


@on_virtual_time
async def test_without_a_channel_it_is_known_and_nothing_is_kept_as_unrouted() -> None:
    store = MemoryStore()
    alerts = service(store, AlertsSettings())
    await one_dies(store)
    with capture_logs() as logged:
        await look(alerts)
    assert [each.key for each in (await store.alert_book()).active()] == ["dead_letters:crm"]
    assert (await store.counts()).unrouted == 0
    assert [(line["alert"], line["about"]) for line in logged if line["event"] == "alert"] == [("dead_letters", "crm")]


# -- no alert about an alert --------------------------------------------------------------------


@on_virtual_time
async def test_an_alert_that_cannot_be_delivered_is_dead_and_no_alert_is_made_of_it() -> None:
    store = MemoryStore()
    alerts = service(store)
    await one_dies(store)
    gone = ScriptedSender(otherwise=Outcome(OutcomeKind.REJECT, status=404, error="HTTP 404"))
    settings = TEAM.as_destination()
    async with Works(store, policy=settings.retry) as works:
        destination = Destination(settings.name, gone, settings.retry, 2, breaker=settings.breaker)
        for _ in range(40):
            await look(alerts)
            now_ms = works.clock.now_ms()
            batch = await store.lease(LeaseRequest("w", {settings.name: 9}, now_ms, now_ms + 10**6))
            for claim in batch.claims:
                await works.attempt(claim, destination)
    assert [each.state for each in await deliveries(store)] == [State.DEAD]
    assert await told(store) == ["dead_letters.firing crm"]
    assert "alerts.team" in {each.destination for each in await store.dead_groups()}


def test_a_channel_has_no_circuit_that_could_open_and_an_end_to_its_tries() -> None:
    settings = TEAM.as_destination()
    assert not settings.breaker.enabled
    assert (settings.retry.max_age_ms, settings.retry.on_dead) == (3_600_000, "skip")


# -- restarts and races -------------------------------------------------------------------------


@on_virtual_time
async def test_a_restart_neither_repeats_nor_forgets() -> None:
    store = MemoryStore()
    dead = await one_dies(store)
    for seed in range(10):
        await look(service(store, seed=seed), 2)
    assert await told(store) == ["dead_letters.firing crm"]
    await store.act([Action(dead.id, Transition(Trigger.DISCARD, VirtualClock().now_ms()), "ann", "old")])
    for seed in range(10, 20):
        await look(service(store, seed=seed), 2)
    assert await told(store) == ["dead_letters.firing crm", "dead_letters.resolved crm"]


class Killed(Exception):
    """The process is no more."""


class Killing(MemoryStore):
    """Kills whoever calls `method` for the n-th time: before it is done, or right after."""

    def __init__(self, method: str, nth: int, after: bool) -> None:
        super().__init__()
        self._method, self._left, self._after = method, nth, after

    async def _call(self, name: str, *given: Any) -> Any:
        self._left -= name == self._method
        dies = name == self._method and self._left == 0
        if dies and not self._after:
            raise Killed
        result = await getattr(super(), name)(*given)
        if dies:
            raise Killed
        return result

    async def keep_alert_book(self, book: AlertBook) -> bool:
        return bool(await self._call("keep_alert_book", book))

    async def append(self, appends: Sequence[Any]) -> Any:
        return await self._call("append", appends)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("method", "nth"), [("keep_alert_book", 1), ("keep_alert_book", 2), ("append", 2)])
def test_a_kill_at_any_step_loses_no_alert_and_repeats_none(method: str, nth: int, after: bool) -> None:
    @on_virtual_time
    async def scenario() -> None:
        # The first append is that of the event that dies.
        store = Killing(method, nth, after)
        await one_dies(store)
        with pytest.raises(Killed):
            await look(service(store), 3)
        await look(service(store, seed=2), 3)
        assert await told(store) == ["dead_letters.firing crm"]

    scenario()


@on_virtual_time
async def test_two_nodes_that_look_at_once_tell_it_once() -> None:
    class Interleaved(MemoryStore):
        async def alert_book(self) -> AlertBook:
            book = await super().alert_book()
            await asyncio.sleep(0)
            return book

    store = Interleaved()
    heard: list[Alert] = []
    nodes = [service(store, seed=seed, listeners=[Hearing(heard)]) for seed in range(4)]
    for number, name in enumerate(("crm", "lake", "desk"), 1):
        await one_dies(store, number, name)
        await asyncio.gather(*(look(each, 6) for each in nodes))
    assert sorted(await told(store)) == [f"dead_letters.firing {name}" for name in ("crm", "desk", "lake")]
    assert sorted(each.subject for each in heard) == ["crm", "desk", "lake"], "nor are functions called twice"


class Hearing:
    """A listener that keeps what it hears."""

    def __init__(self, heard: list[Alert]) -> None:
        self._heard = heard

    def tell(self, alert: Alert) -> None:
        self._heard.append(alert)


@on_virtual_time
async def test_a_book_that_others_change_each_time_is_given_up_and_looked_at_again() -> None:
    class Busy(MemoryStore):
        async def keep_alert_book(self, book: AlertBook) -> bool:
            return False

    store = Busy()
    await one_dies(store)
    with pytest.raises(StoreUnavailableError):
        await service(store).look()


# -- as a task ----------------------------------------------------------------------------------


class Running:
    """The service as the gateway runs it."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def __aenter__(self) -> Alerts:
        self._task = asyncio.create_task(self._alerts.run())
        await settle_down()
        return self._alerts

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


OPEN = Circuit("crm", AT_MS, AT_MS + 1_000, 15_000, "20 events in a row failed")


@on_virtual_time
async def test_a_circuit_is_told_at_once_and_its_end_too() -> None:
    store = MemoryStore()
    async with Running(service(store)) as alerts:
        await VirtualClock().sleep(4)
        await store.change_circuit("crm", 0, OPEN)
        alerts.circuit_changed(CircuitChange.opened(OPEN))
        await settle_down()
        assert await told(store) == ["circuit.firing crm"]
        await store.change_circuit("crm", 1, None)
        alerts.circuit_changed(CircuitChange.closed(OPEN, "its probes succeeded", VirtualClock().now_ms()))
        await settle_down()
        assert await told(store) == ["circuit.firing crm", "circuit.resolved crm"]
        await VirtualClock().sleep(60)
        assert len(await events(store)) == 2


@pytest.mark.parametrize("heard", [True, False], ids=["from its worker", "by looking"])
@on_virtual_time
async def test_why_a_circuit_opened_is_told_as_it_may_be(heard: bool) -> None:
    """Where fields are masked, nobody knows who reads a chat, and the words are a destination's."""
    store = MemoryStore()
    alerts = service(store, told=Masking(["text"]).told)
    said = replace(OPEN, why="20 failed, the last: no customer 491701234567")
    if heard:
        await alerts.changed(CircuitChange.opened(said))
    else:
        await store.change_circuit("crm", 0, said)
        await alerts.look()
    await alerts.send()
    (event,) = await events(store)
    assert b"no customer #" in event.body
    assert b"4917" not in event.body


@on_virtual_time
async def test_it_looks_every_quarter_of_a_minute() -> None:
    store = MemoryStore()
    async with Running(service(store)):
        await one_dies(store)
        await VirtualClock().sleep(LOOK_EVERY_S - 1)
        assert await told(store) == []
        await VirtualClock().sleep(2)
        assert await told(store) == ["dead_letters.firing crm"]


@on_virtual_time
async def test_what_another_process_decided_goes_out_within_seconds() -> None:
    store = MemoryStore()
    async with Running(service(store)):
        command = service(store, AlertsSettings(), seed=2)
        await command.test("team", "ann")
        # No store wakes for that, though most do for all that is written.
        await VirtualClock().sleep(2)
        assert await told(store) == ["test.firing team"]
        (made,) = await deliveries(store)
        assert made.destination == "alerts.team"


@on_virtual_time
async def test_a_test_goes_to_its_channel_alone_whatever_that_takes() -> None:
    store = MemoryStore()
    alerts = service(store, AlertsSettings((TEAM, PAGER)))
    await alerts.test("pager", "ann")
    await alerts.send()
    assert [each.destination for each in await deliveries(store)] == ["alerts.pager"]


@on_virtual_time
async def test_a_store_that_cannot_now_is_asked_again() -> None:
    store: Any = FaultyStore(MemoryStore())
    await one_dies(store)
    store.fail("dead_groups", times=2)
    with capture_logs() as logged:
        async with Running(service(store)):
            await VirtualClock().sleep(3 * LOOK_EVERY_S + 1)
    assert await told(store) == ["dead_letters.firing crm"]
    assert [line["event"] for line in logged].count("alerts_failed") == 2


@on_virtual_time
async def test_a_stop_puts_what_is_decided_into_the_queue() -> None:
    store = MemoryStore()
    alerts = service(store)
    alerts.circuit_changed(CircuitChange.opened(OPEN))
    await alerts.stop()
    assert await told(store) == ["circuit.firing crm"]


# -- what is looked at --------------------------------------------------------------------------


@on_virtual_time
async def test_a_disk_is_looked_at_where_somebody_can() -> None:
    store, free = MemoryStore(), [100]
    settings = AlertsSettings((TEAM,), AlertPolicy(disk_below_bytes=1_000))
    alerts = service(store, settings, node="host", free_bytes=lambda: free[0])
    await look(alerts)
    assert await told(store) == ["disk_low.firing host"]
    free[0] = 10_000
    await look(alerts, 8)
    assert await told(store) == ["disk_low.firing host", "disk_low.resolved host"]


@on_virtual_time
async def test_a_spool_of_which_an_older_version_told_through_the_queue_is_over() -> None:
    store = MemoryStore()
    at_ms = VirtualClock().now_ms()
    told_of = Standing("spool", "host", at_ms, "it is away", Severity.CRITICAL, told_at_ms=at_ms)
    assert await store.keep_alert_book(AlertBook(standing={told_of.key: told_of}))
    await look(service(store, node="host"), 8)
    assert await told(store) == ["spool.resolved host"]


async def accepts(store: Store, minutes: int, started_at_ms: int) -> None:
    """A gateway has accepted an event a minute for so long, until now."""
    now_ms = VirtualClock().now_ms()
    starts = [MINUTES.start(now_ms - ago * 60_000) for ago in range(minutes)]
    await store.add_statistics([Bucket(MINUTES.step_ms, at_ms, "accepted", "shop", "", 1) for at_ms in starts])
    await store.append([make_append(1, to=(), received_at_ms=now_ms)])
    await store.beat(Node("gw:1", ("ingest",), "1", started_at_ms, now_ms))


async def silent_for(store: Store, seconds: int) -> None:
    await VirtualClock().sleep(seconds)
    (node,) = await store.nodes()
    await store.beat(replace(node, seen_at_ms=VirtualClock().now_ms()))


@on_virtual_time
async def test_a_source_that_says_nothing_for_longer_than_ever_is_told_of() -> None:
    store = MemoryStore()
    alerts = service(store)
    await accepts(store, 60, AT_MS)
    await silent_for(store, 290)
    await look(alerts)
    assert await told(store) == []
    await silent_for(store, 30)
    await look(alerts)
    assert await told(store) == ["source_silent.firing shop"]
    await store.append([make_append(2, to=(), received_at_ms=VirtualClock().now_ms())])
    await silent_for(store, 1)
    await look(alerts)
    assert (await told(store))[1:] == ["source_silent.resolved shop"]


@on_virtual_time
async def test_a_source_that_could_not_be_heard_is_not_silent() -> None:
    store = MemoryStore()
    alerts = service(store)
    await accepts(store, 60, AT_MS)
    await store.leave("gw:1")
    await VirtualClock().sleep(7_200)
    await look(alerts)
    assert await told(store) == [], "nobody accepts"
    now_ms = VirtualClock().now_ms()
    await store.beat(Node("gw:1", ("ingest",), "1", now_ms, now_ms))
    await look(alerts)
    assert await told(store) == [], "it has just begun to"
    await silent_for(store, 310)
    await look(alerts)
    assert await told(store) == ["source_silent.firing shop"]


@on_virtual_time
async def test_functions_hear_of_all_but_circuits_and_tests() -> None:
    store: list[Alert] = []
    kept = MemoryStore()
    alerts = service(kept, listeners=[Hearing(store)])
    await one_dies(kept)
    await kept.change_circuit("lake", 0, replace(OPEN, destination="lake"))
    await alerts.test("team", "ann")
    await look(alerts)
    assert [each.alert for each in store] == ["dead_letters"]


@on_virtual_time
async def test_a_silence_is_kept_and_ended() -> None:
    store = MemoryStore()
    alerts = service(store)
    until_ms = VirtualClock().now_ms() + 3_600_000
    await alerts.silence(Silence("dead_letters", None, until_ms, "ann", "a deployment", VirtualClock().now_ms()))
    await one_dies(store)
    await look(alerts, 3)
    assert await told(store) == []
    assert await alerts.unsilence("dead_letters", "crm") is False
    assert await alerts.unsilence("dead_letters", None) is True
    await look(alerts)
    assert await told(store) == ["dead_letters.firing crm"]
