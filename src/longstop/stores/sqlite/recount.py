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
from longstop.model.listing import DEAD_STEP_MS, Drift
from longstop.stores.sqlite import dead_groups, parking, unreadable
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
_IN_TIME = (
    "FROM deliveries INDEXED BY deliveries_dead_at WHERE dead_group = ?1 AND ended_at_ms >= {} AND ended_at_ms < {}"
)
_FIRST_QUARTER = f"(SELECT {dead_groups.QUARTER.format('min(ended_at_ms)')} {_IN_TIME})"
_LATEST_MS = 2**53
"""Beyond all times: what is no number goes behind all of them in an index."""
_NEXT_QUARTER = _FIRST_QUARTER.format(f"found.at_ms + {DEAD_STEP_MS}", _LATEST_MS)
_TIMES_OF_GROUP = f"""
    WITH RECURSIVE found(at_ms) AS (
        SELECT {_FIRST_QUARTER.format(0, _LATEST_MS)} UNION ALL
        SELECT {_NEXT_QUARTER} FROM found WHERE found.at_ms NOT NULL
    )
    SELECT at_ms, (SELECT count(*) {_IN_TIME.format("found.at_ms", f"found.at_ms + {DEAD_STEP_MS}")})
    FROM found WHERE at_ms NOT NULL
"""
_KEPT_TIMES_OF_GROUP = """
    SELECT at_ms, iif(typeof(n) = 'integer', n, 0) FROM dead_times WHERE dead_group = ? AND typeof(at_ms) = 'integer'
"""
_REPAIR_TIME = dead_groups.MOVE.format("VALUES (?, ?, ?)")
_FORGET_TIMES = "DELETE FROM dead_times WHERE dead_group = ? AND n = 0"
_FORGET_TIMES_OF_NONE = "DELETE FROM dead_times WHERE dead_group = ?"
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


class GroupCount(NamedTuple):
    """A group of the dead: how many and how many keys it says it has, and how many it has."""

    id: int
    kept: int
    kept_keys: int
    found: int
    found_keys: int
    times: tuple[tuple[int, int, int], ...]
    """Quarters of an hour of which too many or too few are kept: when, how many are kept, and how many there are."""
    repairs: int

    @property
    def is_right(self) -> bool:
        return (self.kept, self.kept_keys) == (self.found, self.found_keys) and not self.times


class Step(NamedTuple):
    """What one step found."""

    next_after: str | None
    wrong: tuple[Wrong, ...] = ()
    group: GroupCount | None = None
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


def _group(connection: apsw.Connection, id_: int) -> GroupCount:
    kept, kept_keys, repairs = next(connection.execute(_KEPT_OF_GROUP, (id_,)))
    found, found_keys = next(connection.execute(_OF_GROUP, (id_,)))
    kept_times, times = (
        {int(at_ms): int(n) for at_ms, n in connection.execute(query, (id_,))}
        for query in (_KEPT_TIMES_OF_GROUP, _TIMES_OF_GROUP)
    )
    pairs = ((at_ms, kept_times.get(at_ms, 0), times.get(at_ms, 0)) for at_ms in sorted(kept_times.keys() | times))
    wrong = tuple(each for each in pairs if each[1] != each[2])
    return GroupCount(id_, kept, kept_keys, found, found_keys, wrong, repairs)


def needs_repair(step: Step) -> bool:
    """Whether anything has to be written: a counter is wrong, or a group is empty."""
    group = step.group
    return bool(step.wrong or step.stateless) or (group is not None and (not group.is_right or group.found == 0))


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
        drifts += _repair_group(connection, step.group)
    return drifts


def _newest_ms(connection: apsw.Connection) -> int:
    """About what time it is, by what came last."""
    return int(connection.execute(_NEWEST_MS).get)


def _repair_group(connection: apsw.Connection, group: GroupCount) -> list[Drift]:
    connection.execute(_FORGET_GROUP, (group.id, group.id))
    if connection.changes():
        # Another group may get its number.
        connection.execute(_FORGET_TIMES_OF_NONE, (group.id,))
        return []
    if group.is_right:
        return []
    more, more_keys = group.found - group.kept, group.found_keys - group.kept_keys
    connection.execute(_REPAIR_GROUP, (more, more_keys, group.id, group.repairs))
    if not connection.changes():
        return []
    for at_ms, kept, found in group.times:
        connection.execute(_REPAIR_TIME, (group.id, at_ms, found - kept))
    connection.execute(_FORGET_TIMES, (group.id,))
    return [
        Drift(f"dead group {group.id} {what}", kept, found)
        for what, kept, found in (
            ("count", group.kept, group.found),
            ("keys", group.kept_keys, group.found_keys),
            # Not each of what may be thousands.
            ("quarters of an hour that were wrong", len(group.times), 0),
        )
        if kept != found
    ]
