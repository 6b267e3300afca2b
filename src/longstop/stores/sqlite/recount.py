"""Checking the counters against what they count, a few at a time, and putting right those that drifted.

They cannot drift by themselves: the transaction that changes a row changes its counter. A bug can make them, or a
person with another program. Each step counts for one name in one view of the file, by an index, on the searches'
thread; what is wrong by so much now is wrong by as much a moment later, so the difference is what is put right.
"""

from collections.abc import Iterator
from typing import NamedTuple

import apsw
import msgspec

from longstop.model.delivery import State
from longstop.model.listing import Drift
from longstop.stores.sqlite import parking, unreadable
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.rows import Row

_NAMES = """
    WITH RECURSIVE found(name) AS (
        SELECT min({0}) FROM {1} WHERE {2} UNION ALL
        SELECT (SELECT min({0}) FROM {1} WHERE {2} AND {0} > found.name) FROM found WHERE found.name IS NOT NULL
    ) SELECT name FROM found WHERE name IS NOT NULL
"""
"""The different values of an index's first column: one look-up each."""
_SOURCES = _NAMES.format("source", "events INDEXED BY events_source", "1")
_DESTINATIONS = [
    _NAMES.format("destination", f"deliveries INDEXED BY {index}", condition)
    for index, condition in (
        ("deliveries_waiting", "ended_at_ms IS NULL"),
        ("deliveries_delivered", "state = 'delivered'"),
        ("deliveries_discarded", "state = 'discarded'"),
    )
]
_EVENTS = "SELECT count(*) FROM events INDEXED BY events_source WHERE source = ?"
_UNROUTED = "SELECT count(*) FROM events INDEXED BY events_unrouted WHERE routed = 0"
_WAITING = "SELECT count(*) FROM deliveries INDEXED BY deliveries_waiting WHERE destination = ? AND ended_at_ms IS NULL"
_LEASED = "SELECT count(*) FROM deliveries INDEXED BY deliveries_lease WHERE state = 'leased' AND destination = ?"
_SCHEDULED = [
    f"SELECT count(*) FROM deliveries INDEXED BY deliveries_{index} WHERE destination = ? AND {condition}"
    for index, condition in (
        ("untried", "state = 'scheduled' AND held = 0 AND attempts = 0"),
        ("tried", "state = 'scheduled' AND held = 0 AND attempts > 0"),
        ("held", "held = 1"),
    )
]
_STATELESS = """
    SELECT rowid FROM deliveries INDEXED BY deliveries_waiting
    WHERE destination = ? AND ended_at_ms IS NULL AND state NOT IN ('scheduled', 'leased') LIMIT ?
"""
_ENDED = "SELECT count(*) FROM deliveries INDEXED BY deliveries_{0} WHERE state = '{0}' AND destination = ?"
_OF_GROUPS = """
    SELECT count(*) FROM dead_groups g JOIN deliveries d INDEXED BY deliveries_dead_group ON d.dead_group = g.id
    WHERE g.destination = ?
"""
_OF_GROUP = "SELECT count(*), count(DISTINCT key) FROM deliveries INDEXED BY deliveries_dead_key WHERE dead_group = ?"
_KEPT = "SELECT n, repairs FROM counters WHERE subject = ? AND name = ? AND state = ?"
_KEPT_OF_GROUP = "SELECT n, keys, repairs FROM dead_groups WHERE id = ?"
_REPAIR = """
    INSERT INTO counters (subject, name, state, n) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET n = n + excluded.n, repairs = repairs + 1 WHERE repairs = ?5
"""
_REPAIR_GROUP = "UPDATE dead_groups SET n = n + ?, keys = keys + ?, repairs = repairs + 1 WHERE id = ? AND repairs = ?"
_FORGET_GROUP = """
    DELETE FROM dead_groups WHERE id = ? AND n = 0 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE dead_group = ?)
"""
_NEWEST_MS = "SELECT CAST(received_at_ms AS INTEGER) FROM deliveries ORDER BY rowid DESC LIMIT 1"


class Wrong(NamedTuple):
    """A counter that is wrong, as one view of the file has it."""

    counter: tuple[str, str, str]
    kept: int
    found: int
    repairs: int


class Step(NamedTuple):
    """What one step found."""

    next_after: str | None
    wrong: tuple[Wrong, ...] = ()
    group: tuple[int, int, int, int, int, int] | None = None
    """A group: its id, how many and how many keys it says it has, and how many it has, and its repairs."""
    stateless: tuple[int, ...] = ()
    """Rows of deliveries that have not ended and are in no state that there is: nothing else would find them."""


def look(connection: apsw.Connection, after: str | None) -> Step:
    """Count for the name behind this one. The inside of one view."""
    places = _places(connection)
    place = next(
        (each for each in places if after is None or each > msgspec.json.decode(after, type=tuple[int, str])), None
    )
    if place is None:
        return Step(None)
    cursor = None if place == places[-1] else msgspec.json.encode(place).decode()
    kind, name = place
    if kind == 3:
        return Step(cursor, group=_group(connection, int(name)))
    wrong = (_wrong(connection, counter, found) for counter, found in _count(connection, kind, name))
    stateless = _stateless(connection, name) if kind == 2 else ()
    return Step(cursor, tuple(each for each in wrong if each is not None), stateless=stateless)


def _stateless(connection: apsw.Connection, destination: str) -> tuple[int, ...]:
    """By what the indexes count first: they are read alone, and the rows only where something is left over."""
    waiting = int(connection.execute(_WAITING, (destination,)).get)
    known = sum(int(connection.execute(query, (destination,)).get) for query in (*_SCHEDULED, _LEASED))
    if waiting == known:
        return ()
    rows: list[Row] = connection.execute(_STATELESS, (destination, parking.AT_ONCE)).fetchall()
    return tuple(int(rowid) for (rowid,) in rows)


def _places(connection: apsw.Connection) -> list[tuple[int, str]]:
    """All there is to count, in an order that stays: sources, the unrouted, destinations, groups."""
    sources = _names_of(connection, _SOURCES, "SELECT name FROM counters WHERE subject = 'events'")
    destinations = _names_of(connection, *_DESTINATIONS, "SELECT name FROM counters WHERE subject = 'deliveries'")
    groups = _names_of(connection, "SELECT id FROM dead_groups")
    names = ((0, sources), (1, [""]), (2, destinations), (3, groups))
    return sorted((kind, name) for kind, some in names for name in some)


def _names_of(connection: apsw.Connection, *queries: str) -> set[str]:
    return {str(name) for query in queries for (name,) in unreadable.fetched(connection.execute(query))}


def _count(connection: apsw.Connection, kind: int, name: str) -> Iterator[tuple[tuple[str, str, str], int]]:
    if kind == 0:
        yield ("events", name, ""), int(connection.execute(_EVENTS, (name,)).get)
        return
    if kind == 1:
        yield ("unrouted", "", ""), int(connection.execute(_UNROUTED).get)
        return
    leased = int(connection.execute(_LEASED, (name,)).get)
    numbers = {
        State.SCHEDULED: int(connection.execute(_WAITING, (name,)).get) - leased,
        State.LEASED: leased,
        State.DELIVERED: int(connection.execute(_ENDED.format("delivered"), (name,)).get),
        State.DISCARDED: int(connection.execute(_ENDED.format("discarded"), (name,)).get),
        State.DEAD: int(connection.execute(_OF_GROUPS, (name,)).get),
    }
    for state, number in numbers.items():
        yield ("deliveries", name, state.value), number


def _wrong(connection: apsw.Connection, counter: tuple[str, str, str], found: int) -> Wrong | None:
    kept, repairs = connection.execute(_KEPT, counter).fetchone() or (0, 0)
    return None if kept == found else Wrong(counter, kept, found, repairs)


def _group(connection: apsw.Connection, id_: int) -> tuple[int, int, int, int, int, int]:
    kept, kept_keys, repairs = next(connection.execute(_KEPT_OF_GROUP, (id_,)))
    found, found_keys = next(connection.execute(_OF_GROUP, (id_,)))
    return id_, kept, kept_keys, found, found_keys, repairs


def needs_repair(step: Step) -> bool:
    """Whether anything has to be written: a counter is wrong, or a group is empty."""
    group = step.group
    return bool(step.wrong or step.stateless) or (group is not None and (group[1:3] != group[3:5] or group[3] == 0))


def repair(connection: apsw.Connection, step: Step) -> list[Drift]:
    """Put right what a step found, unless somebody else has; what was wrong. The inside of a transaction."""
    drifts = []
    moved = Deltas()
    for rowid in step.stateless:
        parking.park(connection, rowid, ValueError("it is in no state"), _newest_ms(connection), moved)
    moved.add(connection)
    for counter, kept, found, repairs in step.wrong:
        connection.execute(_REPAIR, (*counter, found - kept, repairs))
        if connection.changes():
            drifts.append(Drift(" ".join(filter(None, counter)), kept, found))
    if step.group is not None:
        drifts += _repair_group(connection, *step.group)
    return drifts


def _newest_ms(connection: apsw.Connection) -> int:
    """About what time it is, by what came last."""
    return int(connection.execute(_NEWEST_MS).get)


def _repair_group(
    connection: apsw.Connection, id_: int, kept: int, kept_keys: int, found: int, found_keys: int, repairs: int
) -> list[Drift]:
    connection.execute(_FORGET_GROUP, (id_, id_))
    if (kept, kept_keys) == (found, found_keys) or connection.changes():
        return []
    connection.execute(_REPAIR_GROUP, (found - kept, found_keys - kept_keys, id_, repairs))
    if not connection.changes():
        return []
    pairs = (("count", kept, found), ("keys", kept_keys, found_keys))
    return [Drift(f"dead group {id_} {what}", before, now) for what, before, now in pairs if before != now]
