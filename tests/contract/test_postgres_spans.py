"""Events in spans of time: cut ahead, dropped whole, and what has to stay is moved. See stores/postgres/spans.py."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

import postgres_server
from archive_in_memory import ArchiveInMemory
from longstop.model.action import Edit
from longstop.model.append import Append
from longstop.model.delivery import State
from longstop.model.errors import ArchiveError, StoreUnavailableError
from longstop.model.ids import id_ms
from longstop.model.listing import EventFilter, KeptEvent, Page
from longstop.model.retention import DAY_MS, Cutoffs, Kind, RetentionSettings, Span, WholeEvent
from longstop.operating.retention import Retention
from longstop.stores.postgres import PostgresStore, ServerSettings, span_retention, spans
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.statements import Work
from longstop.testing.builders import AT_MS, event_id, make_append, make_delivery, make_event, make_quarantined
from longstop.testing.clock import VirtualClock
from longstop.testing.store_contract.steps import delivered, lease, parked, replay, settled

FIRST_MS = AT_MS + spans.FAR_MS
"""In the first span behind the first: where that is cut when there is something in it already."""


class StandingClock(VirtualClock):
    """Says one time, and nobody waits by it."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        pass


def number(days: int, place: int = 0) -> int:
    """Of an event that came so many days after the first cut."""
    return FIRST_MS + days * DAY_MS - AT_MS + place


def all_before(at_ms: int) -> Cutoffs:
    return Cutoffs(at_ms, at_ms, at_ms, at_ms)


@pytest.fixture
async def store(postgresql: postgres_server.PostgresServer) -> AsyncIterator[PostgresStore]:
    """A new one, as the migrations leave it."""
    with postgresql.database("template0") as url:
        made = PostgresStore(ServerSettings(url, relaxed=True))
        await made.open()
        yield made
        await made.close()


async def kept(store: PostgresStore) -> list[spans.SpanRow]:
    return await store.view(spans.read)


async def partitions(store: PostgresStore, table: str) -> dict[str, tuple[str, int]]:
    """What PostgreSQL says of a table's partitions: their bounds, and how many rows each has."""
    rows = await store.rows(
        "SELECT c.relname::varchar AS name, pg_get_expr(c.relpartbound, c.oid)::varchar AS bounds FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::varchar::regclass",
        table,
    )
    return {
        row["name"]: (row["bounds"], (await store.rows(f"SELECT count(*) AS n FROM {row['name']}"))[0]["n"])
        for row in rows
    }


def make_delivered(n: int, days_later: int = 0) -> Append:
    event = make_event(n, received_at_ms=AT_MS + n)
    ended_at_ms = event.received_at_ms + 1_000 + days_later * DAY_MS
    return Append(event, (make_delivery(event, state=State.DELIVERED, ended_at_ms=ended_at_ms, attempts=1),))


async def lived(store: PostgresStore, days: int) -> None:
    """A store in which time has passed: one event came before the first cut, and every day one is cut off."""
    await store.append([make_append(0)])
    await store.prepare_spans(AT_MS)
    for day in range(days):
        await store.prepare_spans(FIRST_MS + day * DAY_MS)


async def without_drifts(store: PostgresStore) -> None:
    after, more = None, True
    while more:
        step = await store.recount(after)
        assert step.drifts == ()
        after, more = step.next_after, step.next_after is not None


async def due(store: PostgresStore, before: Cutoffs) -> Span:
    found = await store.due_span(before)
    assert found is not None
    return found


async def test_a_day_ahead_there_is_a_span_for_what_comes(store: PostgresStore) -> None:
    await lived(store, 3)
    rows = await kept(store)
    assert [row.from_ms for row in rows] == [0, *(FIRST_MS + day * DAY_MS for day in range(4))]
    assert [row.until_id for row in rows] == [*(row.from_id for row in rows[1:]), None]
    for table in spans.TABLES:
        found = await partitions(store, table)
        assert len(found) == len(rows)
        assert {name for name, (_, n) in found.items() if n} <= {f"{table}_first"}
        for row in rows:
            bounds, _ = found[row.of(table)]
            start = f"'{row.from_id}'" if row.from_id else "MINVALUE"
            end = f"'{row.until_id}'" if row.until_id else "MAXVALUE"
            assert bounds == f"FOR VALUES FROM ({start}) TO ({end})"


async def test_nothing_is_cut_while_the_last_span_is_a_day_off(store: PostgresStore) -> None:
    await lived(store, 0)
    before = await kept(store)
    await store.prepare_spans(FIRST_MS - DAY_MS)
    assert await kept(store) == before


async def test_what_comes_where_nobody_has_cut_for_long_has_its_place(store: PostgresStore) -> None:
    await lived(store, 0)
    await store.append([make_append(number(100)), make_append(number(5))])
    await store.prepare_spans(FIRST_MS + 101 * DAY_MS)
    rows = await kept(store)
    assert rows[-1].from_ms >= FIRST_MS + 102 * DAY_MS
    await store.append([make_append(number(103))])
    found = (await store.find_events(EventFilter(), Page(newest_first=False))).rows
    assert [id_ms(row.event.id) - AT_MS for row in found] == [0, number(5), number(100), number(103)]


async def test_spans_are_longer_where_what_is_kept_reaches_further_back(store: PostgresStore) -> None:
    await lived(store, 120)
    rows = await kept(store)
    assert rows[1].until_id is not None
    assert id_ms(rows[1].until_id) - rows[1].from_ms == DAY_MS
    assert rows[-1].from_ms - rows[-2].from_ms == -(-120 // spans.SPANS) * DAY_MS
    assert len(rows) < 4 * spans.SPANS


async def test_a_span_is_dropped_when_all_of_it_may_go(store: PostgresStore) -> None:
    await lived(store, 8)
    await store.append([make_delivered(number(0, n)) for n in range(20)])
    await store.append([make_delivered(number(1, n)) for n in range(7)])
    assert await store.due_span(all_before(FIRST_MS + DAY_MS - 1)) is None
    before = all_before(FIRST_MS + 2 * DAY_MS)
    assert (await store.forgettable(Kind.DELIVERED, before, None, 100)).event_ids == ()
    span = await due(store, before)
    assert (await store.span_events(span, None, 100)).event_ids == tuple(event_id(number(0, n)) for n in range(20))
    assert await store.forget_span(span, before, ()) == 20
    assert (await store.counts()).events == 8
    await without_drifts(store)
    assert len(await partitions(store, "events")) == len(await kept(store)) == 9
    assert await store.event(event_id(number(0, 3))) is None
    assert await store.event(event_id(number(1, 3))) is not None


async def test_what_has_to_stay_of_a_span_moves_to_the_first(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(20)])
    await store.append([make_delivered(number(0, 30), days_later=9)])
    await store.append([make_append(number(0, n)) for n in (40, 41)])
    ahead, one, two = (await lease(store, now_ms=FIRST_MS)).claims
    dead = await settled(store, parked(one, FIRST_MS + 5))
    stays = {event_id(number(0, n)) for n in (30, 40, 41)}
    before = Cutoffs(FIRST_MS + 2 * DAY_MS, AT_MS, AT_MS, AT_MS)
    span = await due(store, before)
    assert span.staying == stays
    attempts = (await store.history(dead.id)).attempts
    assert await store.forget_span(span, before, ()) == 20
    found = {row.event.id for row in (await store.find_events(EventFilter(), Page())).rows}
    assert found == {event_id(0), *stays}
    assert (await store.history(dead.id)).attempts == attempts
    assert (await partitions(store, "events"))["events_first"][1] == 4
    assert await store.settle([delivered(two, FIRST_MS + 9)]) == [None]
    await store.act([replay(dead.id, FIRST_MS + 10)])
    assert (await store.delivery(dead.id)).state is State.SCHEDULED  # type: ignore[union-attr]
    old = (await store.forgettable(Kind.DELIVERED, all_before(FIRST_MS + 20 * DAY_MS), None, 100)).event_ids
    assert set(old) == {event_id(number(0, n)) for n in (30, 41)}
    await without_drifts(store)
    assert ahead.delivery.event_id == event_id(0)


async def test_what_is_sent_again_after_it_was_judged_is_not_forgotten(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(3)])
    before = all_before(FIRST_MS + 2 * DAY_MS)
    span = await due(store, before)
    (again,) = (await store.event(event_id(number(0, 1)))).deliveries  # type: ignore[union-attr]
    await store.act([replay(again.id, FIRST_MS + 5 * DAY_MS)])
    assert await store.forget_span(span, before, ()) is None
    assert (await store.counts()).events == 4
    judged_anew = await due(store, before)
    assert judged_anew.staying == {event_id(number(0, 1))}
    assert await store.forget_span(judged_anew, before, ()) == 2
    assert (await store.delivery(again.id)).state is State.SCHEDULED  # type: ignore[union-attr]
    await without_drifts(store)


async def test_what_is_sent_again_while_the_tables_are_asked_for_is_not_forgotten(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at all of it, and the lock."""
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(3)])
    before = all_before(FIRST_MS + 2 * DAY_MS)
    span = await due(store, before)
    (again,) = (await store.event(event_id(number(0, 1)))).deliveries  # type: ignore[union-attr]
    take_lock = spans.locked

    async def late(database: PostgresDatabase, work: Work[None]) -> bool:
        if getattr(work, "__name__", "") == "drop":
            await store.act([replay(again.id, FIRST_MS + 5 * DAY_MS)])
        return await take_lock(database, work)

    monkeypatch.setattr(spans, "locked", late)
    assert await store.forget_span(span, before, ()) is None
    assert (await store.delivery(again.id)).state is State.SCHEDULED  # type: ignore[union-attr]
    assert (await store.counts()).events == 4
    await without_drifts(store)


async def test_a_span_that_somebody_uses_is_left_for_later(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who forgets gives up soon: whoever comes behind it waits for the same lock."""
    monkeypatch.setattr(spans, "LOCK_SPANS", spans.LOCK_SPANS.replace(f"{spans.LOCK_MS}ms", "20ms"))
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(3)])
    before = all_before(FIRST_MS + 2 * DAY_MS)
    span = await due(store, before)
    holds, let_go = asyncio.Event(), asyncio.Event()

    async def read_slowly(connection: asyncpg.Connection) -> None:
        await connection.fetch("SELECT id FROM events LIMIT 1")
        holds.set()
        await let_go.wait()

    reading = asyncio.create_task(store.view(read_slowly))
    await holds.wait()
    assert await store.forget_span(span, before, ()) is None
    let_go.set()
    await reading
    assert await store.forget_span(span, before, ()) == 3


async def test_a_span_of_which_much_stays_is_forgotten_row_by_row(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_retention, "STAYING_MAX", 2)
    await lived(store, 10)
    await store.append([make_delivered(number(0, n)) for n in range(3)])
    await store.append([make_append(number(0, n)) for n in range(3, 6)])
    # Of the first span, and ended after those of the next.
    await store.append([make_delivered(1, days_later=9)])
    early, late = (Cutoffs(FIRST_MS + days * DAY_MS, 0, 0, 0) for days in (2, 5))
    assert await store.due_span(early) is None
    first = await store.forgettable(Kind.DELIVERED, early, None, 100)
    assert first.event_ids == (event_id(1),)
    assert await store.forget(first.event_ids, early) == 1
    assert await store.due_span(late) is None
    then = await store.forgettable(Kind.DELIVERED, late, first.after, 100)
    assert then.event_ids == tuple(event_id(number(0, n)) for n in range(3))
    assert await store.forget(then.event_ids, late) == 3


async def test_a_span_with_which_many_dead_go_is_forgotten_row_by_row(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each leaves its group, and everybody would wait for that."""
    monkeypatch.setattr(span_retention, "STAYING_MAX", 2)
    await lived(store, 6)
    await store.append([make_quarantined(number(0, n), received_at_ms=FIRST_MS + n) for n in range(3)])
    early, late = (all_before(FIRST_MS + days * DAY_MS) for days in (2, 5))
    for before in (early, late):
        span = await due(store, before)
        assert await store.forget_span(span, before, ()) is None
        assert [row.by_rows for row in await kept(store)][1] is (before is late)
    found = await store.forgettable(Kind.DEAD, late, None, 100)
    assert await store.forget(found.event_ids, late) == 3
    assert await store.forget_span(await due(store, late), late, ()) == 0
    await without_drifts(store)


@pytest.mark.parametrize("ahead_ms", [3_000 * DAY_MS, (1 << 48) - 1 - AT_MS])
async def test_ids_from_the_future_keep_nothing_longer(store: PostgresStore, ahead_ms: int) -> None:
    """A clock that was ahead for a moment has made them; the span they are in lasts until then."""
    await lived(store, 1)
    await store.append([make_append(ahead_ms)])
    for day in range(1, 9):
        await store.append([make_delivered(number(day))])
        await store.prepare_spans(FIRST_MS + day * DAY_MS)
    before = all_before(FIRST_MS + 7 * DAY_MS)
    while (span := await store.due_span(before)) is not None:
        assert await store.forget_span(span, before, ()) is not None
    found = await store.forgettable(Kind.DELIVERED, before, None, 100)
    await store.forget(found.event_ids, before)
    left = {row.event.id for row in (await store.find_events(EventFilter(), Page())).rows}
    assert left == {event_id(0), event_id(ahead_ms), event_id(number(7)), event_id(number(8))}
    await without_drifts(store)


async def test_an_id_behind_an_end_that_is_being_checked_is_taken_when_it_is(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is far ahead, while the rows of a large span are read."""
    late = make_append(20 * DAY_MS)

    async def check(_: PostgresDatabase, __: spans.SpanRow) -> None:
        with pytest.raises(StoreUnavailableError) as raised:
            await store.append([late])
        assert "violates check constraint" in str(raised.value)
        assert late.event.source not in str(raised.value), "what an event holds is told to nobody"

    await store.append([make_append(0)])
    with monkeypatch.context() as patch:
        patch.setattr(spans, "check", check)
        await store.prepare_spans(AT_MS)
    await store.prepare_spans(AT_MS)
    await store.append([late])
    assert (await store.counts()).events == 2


async def test_what_comes_back_to_a_span_after_it_was_judged_is_not_forgotten(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_delivered(number(0))])
    before = Cutoffs(FIRST_MS + 2 * DAY_MS, AT_MS, AT_MS, FIRST_MS)
    span = await due(store, before)
    unrouted = make_append(number(0, 5), to=(), received_at_ms=FIRST_MS + 5)
    await store.restore([WholeEvent(KeptEvent(unrouted.event, 0, ()), ())])
    assert await store.forget_span(span, before, ()) is None
    assert await store.forget_span(await due(store, before), before, ()) == 1
    assert await store.event(unrouted.event.id) is not None
    await without_drifts(store)


async def test_what_was_done_with_what_went_is_forgotten_and_the_rest_kept(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_retention, "LEFT_AT_ONCE", 2)
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(7)])
    before = all_before(FIRST_MS + 2 * DAY_MS)
    ids = [make_delivered(number(0, n)).deliveries[0].id for n in range(7)]
    await store.act([replay(id_, FIRST_MS + 5 * DAY_MS) for id_ in ids])
    claims = (await lease(store, FIRST_MS + 5 * DAY_MS)).claims
    ended_at_ms = FIRST_MS + DAY_MS
    await store.settle([delivered(claim, ended_at_ms) for claim in claims if claim.delivery.id != ids[3]])
    edited = make_delivered(number(0, 9))
    await store.replace(edited, Edit(edited.event.id, event_id(number(0, 1)), AT_MS, "anna", None), [ids[1]])
    span = await due(store, before)
    assert span.staying >= {event_id(number(0, 3))}

    async def killed(*_: object) -> None:
        raise StoreUnavailableError("no more")

    with monkeypatch.context() as patch:
        # Beside everybody's work, and so not in one transaction with the span.
        patch.setattr(span_retention, "_forget_left", killed)
        with pytest.raises(StoreUnavailableError):
            await store.forget_span(span, before, ())
    assert len(await store.rows("SELECT delivery_id FROM actions")) == 7
    later = all_before(FIRST_MS + 3 * DAY_MS)
    assert await store.forget_span(await due(store, later), later, ()) == 0
    rows = await store.rows("SELECT delivery_id FROM actions")
    assert [row["delivery_id"] for row in rows] == [ids[3]]
    assert await store.rows("SELECT event_id FROM edits") == []


async def test_an_event_in_one_span_and_its_delivery_in_the_next_stay_together(store: PostgresStore) -> None:
    await lived(store, 3)
    end = number(1)
    event = make_event(end - 1, received_at_ms=AT_MS + end - 1)
    done = make_delivery(event, id=make_delivery(make_event(end)).id, state=State.DELIVERED, ended_at_ms=AT_MS + end)
    await store.append([Append(event, (done,)), make_delivered(end - 5), make_delivered(end + 5)])
    before = all_before(FIRST_MS + 3 * DAY_MS)
    for gone in (1, 1):
        span = await due(store, before)
        assert span.staying == {event.id}
        assert await store.forget_span(span, before, ()) == gone
        kept_event = await store.event(event.id)
        assert kept_event is not None
        assert [each.id for each in kept_event.deliveries] == [done.id]
        await without_drifts(store)
    found = await store.forgettable(Kind.DELIVERED, before, None, 100)
    assert found.event_ids == (event.id,)
    assert await store.forget(found.event_ids, before) == 1


async def test_the_dead_that_go_with_a_span_leave_their_groups(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_quarantined(number(0, n), received_at_ms=FIRST_MS + n) for n in range(3)])
    await store.append([make_quarantined(number(1), received_at_ms=FIRST_MS + DAY_MS)])
    await store.append([make_append(number(0, 9), to=(), received_at_ms=FIRST_MS + 9)])
    before = all_before(FIRST_MS + DAY_MS)
    span = await due(store, before)
    assert await store.forget_span(span, before, [event_id(number(0, 2))]) == 3
    (group,) = await store.dead_groups()
    assert group.count == 2
    counts = await store.counts()
    assert (counts.events, counts.unrouted) == (3, 0)
    await without_drifts(store)


async def test_a_sweep_archives_a_span_before_it_goes(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_delivered(number(0, n)) for n in range(700)])
    await store.live_until(FIRST_MS + 32 * DAY_MS)
    clock = StandingClock(FIRST_MS + 32 * DAY_MS)
    archive = ArchiveInMemory()
    sweeping = Retention(store, RetentionSettings(), clock, archive)
    archive.fails = True
    with pytest.raises(ArchiveError):
        await sweeping.sweep()
    assert (await store.counts()).events == 701
    assert (await sweeping.count())[Kind.DELIVERED] == 700
    archive.fails = False
    assert (await sweeping.sweep())[Kind.DELIVERED] == 700
    assert sorted(archive.events) == [event_id(number(0, n)) for n in range(700)]
    assert (await store.counts()).events == 1
    assert FIRST_MS not in {row.from_ms for row in await kept(store)}


async def test_what_is_kept_for_hours_does_not_wait_for_its_span(store: PostgresStore) -> None:
    await lived(store, 3)
    await store.append([make_delivered(number(2, n)) for n in range(3)])
    soon = await store.forgettable(Kind.DELIVERED, all_before(FIRST_MS + 2 * DAY_MS + 3_600_000), None, 100)
    assert len(soon.event_ids) == 3
