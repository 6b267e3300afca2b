"""Rows that another program, or a failing disk, has written: each is named, and nothing else suffers from it."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from longstop.clock import SystemClock
from longstop.model.action import Action, Pause
from longstop.model.alert_book import AlertBook
from longstop.model.breaker import Circuit
from longstop.model.delivery import DeadReason, Delivery, State, Transition, Trigger
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.keyed_request import KeyedRequest
from longstop.model.listing import DeliveryFilter, EventFilter, Page, TimeSteps
from longstop.model.node import Node
from longstop.model.rejection import HeldRequest, HoldSettings, Rejection, RejectionCount, RejectionReason
from longstop.model.retention import ArchivedEvent, Cutoffs, Kind, RetentionSettings, WholeEvent
from longstop.model.statistics import Bucket, StatisticsQuery
from longstop.operating.retention import Retention
from longstop.stores.sqlite import SqliteStore, parking, unreadable
from longstop.stores.sqlite.counters import Deltas
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.jobs import make_job
from longstop.testing.store_contract.steps import delivered, lease, parked, settled, to_retry

BROKEN, SOUND = make_append(2), make_append(3)
BROKEN_ID, SOUND_ID = BROKEN.deliveries[0].id, SOUND.deliveries[0].id

OF_THE_DELIVERY = {
    "a reason there is none of": "reason = 'bored'",
    "a wait there is none of": "wait = 'lunch'",
    "text where a number belongs": "round_at_ms = 'yesterday'",
    "a fraction": "due_at_ms = due_at_ms - 0.5",
    "no time at which it is due": "due_at_ms = 'soon'",
    "bytes where text belongs": "last_error = x'00ff'",
    "text that is not UTF-8": "key = CAST(x'ff41' AS TEXT)",
    "an id that is not UTF-8": "id = CAST(x'ff' || id AS TEXT)",
    "tries that are none": "attempts = 1, tries = 'many'",
}
OF_THE_EVENT = {
    "headers cut short": "headers = x'92'",
    "headers that are none": "headers = x'a161'",
    "a body that is text": "body = 'text'",
    "an origin there is none of": "origin = 'heaven'",
    "a type that is not UTF-8": "type = CAST(x'c328' AS TEXT)",
}
DAMAGES = {f"delivery: {name}": ("deliveries", change) for name, change in OF_THE_DELIVERY.items()}
DAMAGES |= {f"event: {name}": ("events", change) for name, change in OF_THE_EVENT.items()}


@pytest.fixture(autouse=True)
def told_anew() -> None:
    unreadable._tell.cache_clear()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
    await made.open()
    yield made
    await made.close()


async def damaged(store: SqliteStore, *statements: str) -> None:
    """Another program writes into the file."""

    def write(connection: apsw.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    await store._writer.transact(write)


async def with_one_broken(store: SqliteStore, damage: str) -> None:
    """Of two events, due at once, the first is damaged."""
    table, change = DAMAGES[damage]
    await store.append([BROKEN, SOUND])
    column, id_ = ("id", BROKEN_ID) if table == "deliveries" else ("id", BROKEN.event.id)
    await damaged(store, f"UPDATE {table} SET {change} WHERE {column} = '{id_}'")


async def all_dead(store: SqliteStore) -> list[Delivery]:
    return list((await store.find_deliveries(DeliveryFilter(state=State.DEAD), Page(10))).rows)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_one_that_cannot_be_read_is_parked_and_the_others_are_leased(store: SqliteStore, damage: str) -> None:
    await with_one_broken(store, damage)
    with capture_logs() as logs:
        # One at a time, and it is the first: what is parked must not take the others' place for ever.
        taken = [claim for _ in range(3) for claim in (await lease(store, AT_MS + 5, crm=1)).claims]
    assert [claim.event.id for claim in taken] == [SOUND.event.id]
    (told,) = [each for each in logs if each["event"] == "delivery_unreadable"]
    assert told["event_id"] == BROKEN.event.id

    (parked,) = await all_dead(store)
    assert (parked.event_id, parked.reason) == (BROKEN.event.id, DeadReason.MALFORMED)
    assert parked.last_error is not None
    assert parked.last_error.startswith("the store's row cannot be read: ")
    assert parked.last_error == told["error"]
    assert await store.recount() is not None
    assert (await store.counts()).deliveries["crm"][State.DEAD] == 1
    assert (await store.counts()).deliveries["crm"].get(State.SCHEDULED, 0) == 0
    (group,) = await store.dead_groups()
    assert (group.count, group.sample) == (1, (parked.id,))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_was_parked_asks_for_more_at_once_and_then_no_more(store: SqliteStore, damage: str) -> None:
    await with_one_broken(store, damage)
    batches = [await lease(store, AT_MS + 5, crm=1) for _ in range(4)]
    assert AT_MS + 5 in {batch.next_due_at_ms for batch in batches}
    assert batches[-1].next_due_at_ms is None


# A listing reads no bodies.
@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"event: a body that is text"}))
async def test_listings_go_on_and_say_which_row(store: SqliteStore, damage: str) -> None:
    await with_one_broken(store, damage)
    with capture_logs() as logs:
        for _ in range(2):
            events = (await store.find_events(EventFilter(), Page(10))).rows
            deliveries = (await store.find_deliveries(DeliveryFilter(), Page(10))).rows
    assert SOUND.event.id in [each.event.id for each in events]
    assert SOUND_ID in [each.id for each in deliveries]
    assert len(events) + len(deliveries) == 3
    told = [each["row"] for each in logs if each["event"] == "row_unreadable"]
    assert told, "said"
    assert len(told) == len(set(told)), "once"
    of_it = (BROKEN.event.id, BROKEN_ID, "a row")
    assert all(any(name in row for name in of_it) for row in told), told


@pytest.mark.parametrize("damage", OF_THE_EVENT)
async def test_who_asks_for_it_is_told_what_is_wrong(store: SqliteStore, damage: str) -> None:
    await with_one_broken(store, f"event: {damage}")
    with pytest.raises(UnreadableRowError):
        await store.event(BROKEN.event.id)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_retention_keeps_what_it_cannot_archive_and_forgets_the_rest(store: SqliteStore, damage: str) -> None:
    await with_one_broken(store, damage)
    assert [each.kept.event.id for each in await store.whole([BROKEN.event.id, SOUND.event.id])] == [SOUND.event.id]


class Archive:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[WholeEvent] = []

    async def write(self, events: Sequence[WholeEvent]) -> None:
        self.written += events

    async def find(self, id_: str) -> ArchivedEvent | None:
        raise AssertionError(id_)


async def test_what_cannot_be_archived_is_not_forgotten_and_holds_nothing_up(store: SqliteStore) -> None:
    await with_one_broken(store, "event: headers cut short")
    await settled(store, delivered((await lease(store, AT_MS)).claims[0]))
    archive, clock = Archive(), SystemClock()
    await store.live_until(clock.now_ms())
    await Retention(store, RetentionSettings(1, 1, 1, 1), clock, archive).sweep()
    assert [each.kept.event.id for each in archive.written] == [SOUND.event.id]
    assert await store.event(SOUND.event.id) is None
    with pytest.raises(UnreadableRowError):
        await store.event(BROKEN.event.id)


async def test_without_an_archive_it_is_forgotten_as_others_are(store: SqliteStore) -> None:
    await with_one_broken(store, "event: headers cut short")
    await lease(store, AT_MS, crm=1)
    before = Cutoffs(**dict.fromkeys(Cutoffs.__dataclass_fields__, AT_MS + 10))
    found = await store.forgettable(Kind.DEAD, before, None, 10)
    assert found.event_ids == (BROKEN.event.id,)
    assert await store.forget(found.event_ids, before) == 1
    assert await all_dead(store) == []


async def test_a_delivery_without_its_event_is_parked(store: SqliteStore) -> None:
    await store.append([BROKEN])
    await damaged(store, f"DELETE FROM events WHERE id = '{BROKEN.event.id}'")
    assert (await lease(store, AT_MS)).claims == ()
    (parked,) = await all_dead(store)
    assert parked.id == BROKEN_ID


@pytest.mark.parametrize("until", ["NULL", "'later'", "x'00'", "0.5"])
async def test_a_lease_until_no_time_comes_back(store: SqliteStore, until: str) -> None:
    await store.append([BROKEN])
    (claim,) = (await lease(store, AT_MS)).claims
    await damaged(store, f"UPDATE deliveries SET lease_until_ms = {until}, reason = NULL WHERE id = '{BROKEN_ID}'")
    found = await store.expired(AT_MS + 1, 10)
    dead = await all_dead(store)
    assert [each.id for each in (*found, *dead)] == [claim.delivery.id]


async def test_a_lease_that_ran_out_and_cannot_be_read_is_parked(store: SqliteStore) -> None:
    await store.append([BROKEN, SOUND])
    await lease(store, AT_MS, crm=2)
    await damaged(store, f"UPDATE deliveries SET worker = CAST(x'ff' AS TEXT) WHERE id = '{BROKEN_ID}'")
    assert [each.id for each in await store.expired(AT_MS + 1_000_000, 10)] == [SOUND_ID]
    assert [each.id for each in await all_dead(store)] == [BROKEN_ID]
    counts = (await store.counts()).deliveries["crm"]
    assert (counts[State.LEASED], counts[State.DEAD]) == (1, 1)


@pytest.mark.parametrize("state", ["'schedulee'", "x'00'", "''", "CAST(x'ff' AS TEXT)"])
async def test_one_in_no_state_is_found_by_the_recount(store: SqliteStore, state: str) -> None:
    await store.append([BROKEN, SOUND])
    await damaged(store, f"UPDATE deliveries SET state = {state} WHERE id = '{BROKEN_ID}'")
    assert [claim.event.id for claim in (await lease(store, AT_MS, crm=2)).claims] == [SOUND.event.id]
    for _ in range(2):
        after = (await store.recount()).next_after
        while after is not None:
            after = (await store.recount(after)).next_after
    (parked,) = await all_dead(store)
    assert (parked.id, parked.reason, parked.ended_at_ms) == (BROKEN_ID, DeadReason.MALFORMED, AT_MS)
    counts = (await store.counts()).deliveries["crm"]
    assert {each: n for each, n in counts.items() if n} == {State.DEAD: 1, State.LEASED: 1}


async def test_a_person_can_decide_about_one_that_cannot_be_read(store: SqliteStore) -> None:
    await store.append([BROKEN, SOUND])
    for each in (BROKEN_ID, SOUND_ID):
        await damaged(store, f"UPDATE deliveries SET wait = 'lunch' WHERE id = '{each}'")
    discard = Action(BROKEN_ID, Transition(Trigger.DISCARD, AT_MS + 9), "me", "broken")
    replay = Action(SOUND_ID, Transition(Trigger.REPLAY, AT_MS + 9, due_at_ms=AT_MS + 9), "me", None)
    discarded, replayed = await store.act([discard, replay])
    assert discarded is not None
    assert replayed is not None
    assert (discarded.state, replayed.state) == (State.DISCARDED, State.SCHEDULED)
    assert [claim.event.id for claim in (await lease(store, AT_MS + 9)).claims] == [SOUND.event.id]


async def test_one_that_is_parked_holds_its_key_as_any_dead_one_does(store: SqliteStore) -> None:
    first, second = (make_append(number) for number in (2, 3))
    for each in (first, second):
        each.deliveries[0].lane = "shop:one"  # type: ignore[misc]
    await store.append([first, second])
    await damaged(store, f"UPDATE deliveries SET wait = 'lunch' WHERE id = '{first.deliveries[0].id}'")
    assert (await lease(store, AT_MS, crm=5)).claims == ()
    ahead = await store.ahead(second.deliveries[0].id)
    assert ahead is not None
    assert ahead.id == first.deliveries[0].id


async def test_attempts_and_actions_that_cannot_be_read_are_left_out(store: SqliteStore) -> None:
    await store.append([SOUND])
    await settled(store, to_retry((await lease(store, AT_MS)).claims[0], AT_MS + 50))
    act = Action(SOUND_ID, Transition(Trigger.EXPEDITE, AT_MS + 9, due_at_ms=AT_MS + 9), "me", None)
    await store.act([act])
    assert [len(each) for each in _of(await store.history(SOUND_ID))] == [1, 1]
    assert len((await store.recent(AT_MS - 1, 10)).attempts) == 1
    await damaged(store, "UPDATE attempts SET outcome = 'odd'", "UPDATE actions SET \"trigger\" = 'whim'")
    with capture_logs() as logs:
        assert [len(each) for each in _of(await store.history(SOUND_ID))] == [0, 0]
        recent = await store.recent(AT_MS - 1, 10)
    assert (recent.attempts, recent.actions) == ((), ())
    assert f"attempt 1 of delivery {SOUND_ID}" in [each["row"] for each in logs]


def _of(history: Any) -> tuple[Any, Any]:
    return history.attempts, history.actions


SMALL = {
    "circuits": "probe_at_ms = 'later'",
    "pauses": "at_ms = 'then'",
    "nodes": "seen_at_ms = 'now'",
    "counters": "n = 'some'",
    "dead_groups": "reason = 'bored'",
    "rejection_counts": "reason = 'odd'",
    "rejections": "headers = x'92'",
    "held_requests": "headers = x'92'",
}


ELSEWHERE = {"deliveries", "events", "attempts", "actions", "edits", "keyed_requests", "statistics", "dead_times"} | {
    *("audit", "users", "tokens", "sessions", "jobs", "alert_book"),
}
"""Tables with tests of their own here, in test_sqlite_access.py, or in tests/acceptance/test_unreadable_rows.py."""
NEVER_A_MODEL_S = {"dedup", "key_segments", "marks"}
"""Read by statements alone: nothing is made of their rows."""


async def test_every_table_is_thought_of(store: SqliteStore) -> None:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    tables = await store._reader.call(lambda connection: {str(name) for (name,) in connection.execute(query)})
    assert tables == SMALL.keys() | ELSEWHERE | NEVER_A_MODEL_S


@pytest.mark.parametrize("change", ["n = 'odd'", "source = CAST(x'ff' AS TEXT)", "n = 0.5"])
async def test_what_was_counted_and_cannot_be_read_is_left_out(store: SqliteStore, change: str) -> None:
    minute = 60_000
    buckets = [Bucket(minute, AT_MS + place * minute, "accepted", "shop", "", 3) for place in range(2)]
    await store.add_statistics(buckets)
    await damaged(store, f"UPDATE statistics SET {change} WHERE at_ms = {AT_MS}")
    query = StatisticsQuery("accepted", minute, AT_MS, AT_MS + 10 * minute, minute, by_source=True)
    with capture_logs() as logs:
        assert await store.statistics(query) == buckets[1:]
    assert [each["event"] for each in logs] == ["row_unreadable"]


@pytest.mark.parametrize(
    "change", ["record = 'odd'", "record = '{}'", "record = x'7b7d'", "record = CAST(x'ff' AS TEXT)"]
)
async def test_a_job_that_cannot_be_read_is_nobodys_and_hides_no_other(store: SqliteStore, change: str) -> None:
    odd, sound = make_job(1), make_job(2)
    for each in (odd, sound):
        await store.add_job(each)
    await damaged(store, f"UPDATE jobs SET {change} WHERE id = '{odd.id}'")
    assert [each.id for each in (await store.find_jobs(None, Page())).rows] == [sound.id]
    assert [each.id for each in await store.lease_jobs("worker-1", AT_MS, AT_MS + 10, 5)] == [sound.id]
    with pytest.raises((UnreadableRowError, UnicodeDecodeError)):
        await store.job(odd.id)


@pytest.mark.parametrize("change", ["book = 'odd'", "book = '{}'", "book = x'7b7d'", "version = 1, book = '[]'"])
async def test_a_book_of_alerts_that_cannot_be_read_begins_anew(store: SqliteStore, change: str) -> None:
    assert await store.keep_alert_book(AlertBook())
    await damaged(store, f"UPDATE alert_book SET {change}")
    begun = await store.alert_book()
    assert begun == AlertBook(1)
    assert await store.keep_alert_book(begun)
    assert await store.alert_book() == AlertBook(2)


async def test_a_request_that_was_kept_and_cannot_be_read_is_not_carried_out_again(store: SqliteStore) -> None:
    request = KeyedRequest("me", "key-1", b"print", AT_MS, AT_MS + 10)
    assert await store.begin_keyed(request) is None
    await damaged(store, "UPDATE keyed_requests SET status = 'odd'")
    with pytest.raises(UnreadableRowError, match="key-1 cannot be read: status is text, not a whole number"):
        await store.begin_keyed(request)


async def filled(store: SqliteStore, to: str) -> None:
    """A row in each of the small tables."""
    request = Request(Headers([("A", "b")]), b"body")
    await store.change_circuit(to, 0, Circuit(to, AT_MS, AT_MS + 1, 1_000, "down"))
    await store.pause(Pause(to, AT_MS, "me", "why"))
    await store.beat(Node(to, ("work",), "1", AT_MS, AT_MS))
    count = RejectionCount(to, RejectionReason.WRONG_PROOF, 1, AT_MS, AT_MS)
    sample = Rejection(
        event_id(1), to, AT_MS, RejectionReason.WRONG_PROOF, 401, (), request, body_bytes=4, body_kept=True
    )
    await store.record_rejections([count], [sample])
    held = HeldRequest(event_id(1), to, AT_MS, request, "someone", b"print")
    await store.hold([held], {to: HoldSettings()})


async def listed(store: SqliteStore) -> dict[str, int]:
    """How many rows each of the small tables shows."""
    sources = ("first", "second")
    return {
        "circuits": len(await store.circuits()),
        "pauses": len(await store.pauses()),
        "nodes": len(await store.nodes()),
        "counters": len((await store.counts()).deliveries),
        "dead_groups": len(await store.dead_groups()),
        "rejection_counts": len(await store.rejection_counts()),
        "rejections": sum([len((await store.rejections(each, Page(9))).rows) for each in sources]),
        "held_requests": sum([len((await store.held_requests(each, Page(9))).rows) for each in sources]),
    }


@pytest.mark.parametrize("table", SMALL)
async def test_a_broken_row_of_a_small_table_is_told_and_left_out(store: SqliteStore, table: str) -> None:
    for name, number in (("first", 2), ("second", 3)):
        await store.append([make_append(number, to=(name,), headers=Headers())])
        await damaged(store, f"UPDATE events SET headers = x'92' WHERE id = '{event_id(number)}'")
        await lease(store, AT_MS, **{name: 1})
        await filled(store, name)
    assert set((await listed(store)).values()) == {2}
    column = {"circuits": "destination", "pauses": "destination", "nodes": "name", "counters": "name"}
    column |= {"dead_groups": "destination"}
    await damaged(store, f"UPDATE {table} SET {SMALL[table]} WHERE {column.get(table, 'source')} = 'first'")
    with capture_logs() as logs:
        shown = await listed(store)
    assert shown == dict.fromkeys(SMALL, 2) | {table: 1}
    assert [each["event"] for each in logs] == ["row_unreadable"] * len(logs)
    assert logs, "it is said"


async def test_when_some_of_a_group_died_cannot_be_read_and_is_counted_anew(store: SqliteStore) -> None:
    await store.append([SOUND])
    await settled(store, parked((await lease(store, AT_MS)).claims[0], AT_MS))
    over = TimeSteps.last_day(AT_MS)
    assert sum((await store.dead_groups(None, 9, over))[0].over_time) == 1
    await damaged(store, "UPDATE dead_times SET n = 'some'")
    with capture_logs() as logs:
        (group,) = await store.dead_groups(None, 9, over)
    assert (group.count, sum(group.over_time), [each["event"] for each in logs]) == (1, 0, ["row_unreadable"])
    after: str | None = None
    while (after := (await store.recount(after)).next_after) is not None:
        pass
    assert sum((await store.dead_groups(None, 9, over))[0].over_time) == 1


async def test_a_dead_one_that_is_parked_is_counted_when_it_was_parked_and_no_more_when_it_died(
    store: SqliteStore,
) -> None:
    await store.append([SOUND])
    await settled(store, parked((await lease(store, AT_MS)).claims[0], AT_MS))
    hour_ms = 3_600_000

    def park(connection: Any) -> None:
        (rowid,) = next(connection.execute("SELECT rowid FROM deliveries"))
        parking.park(connection, rowid, ValueError("odd"), AT_MS + 2 * hour_ms, Deltas())

    await store._transact(park)
    groups = await store.dead_groups(None, 9, TimeSteps.until(AT_MS + 2 * hour_ms, hour_ms, 3))
    assert [(group.reason, group.over_time) for group in groups] == [(DeadReason.MALFORMED, (0, 0, 1))]
    counted = await store._reader.call(lambda each: each.execute("SELECT sum(n), count(*) FROM dead_times").fetchall())
    assert counted == [(1, 1)]


async def test_a_circuit_that_cannot_be_read_is_as_good_as_closed(store: SqliteStore) -> None:
    await store.append([SOUND])
    assert await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 10**9, 1_000, "down"))
    assert (await lease(store, AT_MS)).claims == ()
    await damaged(store, "UPDATE circuits SET probe_at_ms = 'later'")
    claims = (await lease(store, AT_MS)).claims
    assert [claim.event.id for claim in claims] == [SOUND.event.id]
    await settled(store, delivered(claims[0]))
    assert await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 1, 1_000, "down"))
    assert len(await store.circuits()) == 1


@pytest.mark.parametrize("broken", [True, False])
async def test_an_open_circuit_s_probe_passes_over_what_cannot_be_read(store: SqliteStore, broken: bool) -> None:
    await with_one_broken(store, "delivery: a wait there is none of" if broken else "event: headers cut short")
    await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS, 1_000, "down", failed=1))
    taken = [claim for _ in range(3) for claim in (await lease(store, AT_MS + 5)).claims]
    assert [claim.event.id for claim in taken] == [SOUND.event.id]


async def test_a_time_that_is_none_is_not_the_oldest_nor_the_next(store: SqliteStore) -> None:
    await store.append([make_append(2, to=("odd",)), make_append(3, to=("even",))])
    await damaged(store, "UPDATE deliveries SET received_at_ms = 'once', due_at_ms = 'soon' WHERE destination = 'odd'")
    counts = await store.counts()
    assert (counts.oldest_waiting, counts.next_due) == ({"even": AT_MS}, {"even": AT_MS})
    assert counts.oldest_waiting_at_ms == AT_MS


@pytest.mark.parametrize("table", ["events", "deliveries", "counters"])
async def test_a_name_that_is_no_text_does_not_hold_up_the_recount(store: SqliteStore, table: str) -> None:
    await store.append([BROKEN, SOUND])
    column, which = {
        "events": ("source", f"id = '{BROKEN.event.id}'"),
        "deliveries": ("destination", f"id = '{BROKEN_ID}'"),
        "counters": ("name", "subject = 'events'"),
    }[table]
    await damaged(store, f"UPDATE {table} SET {column} = CAST(x'ff41' AS TEXT) WHERE {which}")
    with capture_logs() as logs:
        after = (await store.recount()).next_after
        while after is not None:
            after = (await store.recount(after)).next_after
        sound = (await lease(store, AT_MS)).claims
    assert SOUND.event.id in [claim.event.id for claim in sound]
    assert "row_unreadable" in [each["event"] for each in logs]
