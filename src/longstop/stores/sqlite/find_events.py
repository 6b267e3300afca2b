"""Which index answers a listing of events."""

import time
from collections.abc import Sequence

import apsw

from longstop.model.id_times import IdTimes
from longstop.model.listing import EventFilter, Page
from longstop.stores.sqlite.key_places import key_hash
from longstop.stores.sqlite.walk import QUICK_S, Condition, Found, Ids, Stream, merge, patience, walk, walk_all

SEGMENTS_FIRST = 64
"""So many segments of a key are looked at in one go, and more where that was quick."""


def find(connection: apsw.Connection, wanted: EventFilter, page: Page) -> Ids:
    """The ids of one page."""
    within, fits = received_within(connection, wanted.since_ms, wanted.until_ms)
    if wanted.unrouted:
        within.append(Condition("routed = 0"))
    given = {
        "key": _equals("key", wanted.key),
        "type": _equals("type", wanted.type),
        "source": _equals("source", wanted.source),
    }
    if wanted.contains is not None:
        fits.append(Condition("instr(body, ?) > 0", (wanted.contains,)))
    if wanted.key is not None and not wanted.unrouted:
        return _of_key(connection, wanted.key, (*within, *fits, *given["type"], *given["source"]), page)
    index = "events_unrouted" if wanted.unrouted else next((f"events_{name}" for name in given if given[name]), None)
    for name, condition in given.items():
        (within if index == f"events_{name}" else fits).extend(condition)
    return walk_all(connection, [Stream("events", index, tuple(within), tuple(fits))], page)


def _equals(column: str, value: str | None) -> list[Condition]:
    return [] if value is None else [Condition(f"{column} = ?", (value,))]


def received_within(
    connection: apsw.Connection, since_ms: int | None, until_ms: int | None, ended_until_ms: int | None = None
) -> tuple[list[Condition], list[Condition]]:
    """Times as bounds of ids, and what has to be looked at besides: where ids' times are not exactly those.

    ended_until_ms: what ended before that was received before it, too.
    """
    if since_ms is None and until_ms is None and ended_until_ms is None:
        return [], []
    times = id_times(connection)
    low, high = times.received(since_ms, until_ms, ended_until_ms)
    within = [Condition("id >= ?", (low,))] if low is not None else []
    within += [Condition("id < ?", (high,))] if high is not None else []
    fits = [Condition("received_at_ms >= ?", (since_ms,))] if since_ms is not None else []
    fits += [Condition("received_at_ms < ?", (until_ms,))] if until_ms is not None else []
    return within, fits if times.apart_ms else []


def id_times(connection: apsw.Connection) -> IdTimes:
    """How far ids' times lie from those of arrival."""
    return IdTimes(*next(connection.execute("SELECT ahead_ms, behind_ms, early_ms FROM marks")))


# -- by key ---------------------------------------------------------------------------------------------


def _of_key(connection: apsw.Connection, key: str, fits: Sequence[Condition], page: Page) -> Ids:
    of_key = Condition("key = ?", (key,))
    before = Stream("events", "events_key_before", (Condition("key_place IS NULL"), of_key), tuple(fits))
    return merge(
        page, [walk(connection, before, page, patience(page, 0.5)), _placed(connection, key, [of_key, *fits], page)]
    )


def _placed(connection: apsw.Connection, key: str, fits: Sequence[Condition], page: Page) -> Found:
    """By the segments, in their order, which is that of the ids."""
    until_s = patience(page)
    first, end = _segments_behind(connection, page)
    found, step = Found(), SEGMENTS_FIRST
    while first < end and len(found.ids) <= page.limit:
        began_s = time.monotonic()
        some = (max(first, end - step), end) if page.newest_first else (first, min(first + step, end))
        found.ids += _of_segments(connection, key, fits, page, some, page.limit + 1 - len(found.ids))
        first, end = (first, some[0]) if page.newest_first else (some[1], end)
        now_s = time.monotonic()
        if now_s >= until_s and first < end and len(found.ids) <= page.limit:
            found.searched_to = _edge(connection, end if page.newest_first else first)
            return found
        if now_s - began_s < QUICK_S:
            step *= 2
    return found


def _segments_behind(connection: apsw.Connection, page: Page) -> tuple[int, int]:
    """The first segment that a page may have something of, and the one behind the last.

    Those before its cursor are not asked again: a search that patience ended would come no further than the last time.
    """
    end = int(connection.execute("SELECT max(seq) + 1 FROM key_segments").get)
    if page.after is None:
        return 0, end
    before = "<" if page.newest_first else "<="
    query = f"SELECT seq FROM key_segments WHERE start {before} ? ORDER BY start DESC LIMIT 1"
    of_cursor = connection.execute(query, (page.after,)).get
    place = -1 if of_cursor is None else int(of_cursor)
    return (0, place + 1) if page.newest_first else (max(place, 0), end)


def _of_segments(
    connection: apsw.Connection,
    key: str,
    fits: Sequence[Condition],
    page: Page,
    segments: tuple[int, int],
    limit: int,
) -> list[str]:
    order = "DESC" if page.newest_first else "ASC"
    behind = [Condition(f"id {'<' if page.newest_first else '>'} ?", (page.after,))] if page.after is not None else []
    conditions = [*fits, *behind]
    where = " AND ".join(each.sql for each in conditions)
    values = [value for each in conditions for value in each.values]
    query = f"""
        SELECT id FROM key_segments CROSS JOIN events INDEXED BY events_key
        WHERE seq >= ? AND seq < ? AND key_place = (seq << 32) | ? AND {where}
        ORDER BY seq {order}, id {order} LIMIT ?
    """
    return [str(id_) for (id_,) in connection.execute(query, (*segments, key_hash(key), *values, limit))]


def _edge(connection: apsw.Connection, seq: int) -> str:
    """The id at which a search that has come to the beginning of a segment goes on."""
    return str(connection.execute("SELECT start FROM key_segments WHERE seq = ?", (seq,)).get)
