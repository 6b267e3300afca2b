"""What may be forgotten, and forgetting it: the oldest first, a few at a time. Each is inside of one transaction."""

import json
from collections.abc import Sequence

import apsw

from longstop.model.delivery import State
from longstop.model.retention import Cutoffs, Forgettable, Kind
from longstop.stores.sqlite import dead_groups
from longstop.stores.sqlite.event_deliveries import rows_of
from longstop.stores.sqlite.find_events import received_within
from longstop.stores.sqlite.rows import Row

FREE_PAGES_MIN = 1_000
FREE_SHARE = 5
"""Room is given back where more than one page in so many is free: what is free is filled again soon."""
GIVE_PAGES = 64

_THESE = "IN (SELECT value FROM json_each(?1))"
_OF_THESE = f"rowid IN ({rows_of('SELECT value AS id FROM json_each(?1)')})"
_MAY_GO = f"""
    CASE WHEN events.routed = 0 THEN events.received_at_ms < {{unrouted}} ELSE NOT EXISTS (
        SELECT 1 FROM deliveries WHERE rowid IN ({rows_of("SELECT events.id AS id")}) AND NOT coalesce(
            (state = 'delivered' AND ended_at_ms < {{delivered}})
            OR (state = 'dead' AND lane IS NULL AND ended_at_ms < {{dead}})
            OR (state = 'discarded' AND ended_at_ms < {{discarded}}), 0)) END
"""
"""`retention.event_may_go`, as SQL. An event without deliveries is one that was not routed."""
_WHICH = f"""
    SELECT json_group_array(id) FROM events WHERE id {_THESE}
        AND {_MAY_GO.format(unrouted="?2", delivered="?3", dead="?4", discarded="?5")}
"""
_ENDED = """
    SELECT json_group_array(json_array(iif(typeof(event_id) = 'text', event_id, ''), ended_at_ms, place)
        ORDER BY ended_at_ms, place) FROM (
        SELECT event_id, ended_at_ms, rowid AS place FROM deliveries INDEXED BY deliveries_ended
        WHERE state = ? AND ended_at_ms IS NOT NULL AND ended_at_ms >= ? AND ended_at_ms < ?
            AND NOT (ended_at_ms = ? AND rowid <= ?)
        ORDER BY ended_at_ms, rowid LIMIT ?)
"""
_OLD_ATTEMPTS = f"""
    SELECT DISTINCT event_id FROM deliveries WHERE {_OF_THESE} AND ended_at_ms < ?2
        AND EXISTS (SELECT 1 FROM attempts a WHERE a.delivery_id = deliveries.id AND a.started_at_ms < ?2)
"""
_FORGET_ATTEMPTS = f"""
    DELETE FROM attempts WHERE started_at_ms < ?2
        AND delivery_id IN (SELECT id FROM deliveries WHERE {_OF_THESE} AND ended_at_ms < ?2)
"""
_GOING = "IN (SELECT id FROM going)"
_WITH_THEM = "rowid IN (SELECT row FROM going_deliveries)"
_OF_DELIVERIES = f"delivery_id IN (SELECT id FROM deliveries WHERE {_WITH_THEM})"
_COUNT_OFF = """
    INSERT INTO counters (subject, name, state, n) SELECT {}, -count(*) FROM {} GROUP BY 1, 2, 3
        ON CONFLICT (subject, name, state) DO UPDATE SET n = n + excluded.n;
"""
_NEW_CUTOFFS = {kind.value: f"NEW.{kind}_ms" for kind in Kind}
SETUP = f"""
CREATE TEMP TABLE going (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE going_deliveries (row INTEGER PRIMARY KEY);
CREATE TEMP TABLE going_dead (dead_group INTEGER, key TEXT, at_ms INTEGER);
CREATE TEMP VIEW forgetting AS
    SELECT NULL AS ids, NULL AS unrouted_ms, NULL AS delivered_ms, NULL AS dead_ms, NULL AS discarded_ms;
CREATE TEMP TRIGGER forget INSTEAD OF INSERT ON forgetting BEGIN
    DELETE FROM going;
    DELETE FROM going_deliveries;
    DELETE FROM going_dead;
    INSERT INTO going SELECT id FROM events
        WHERE id IN (SELECT value FROM json_each(NEW.ids)) AND {_MAY_GO.format(**_NEW_CUTOFFS)};
    INSERT INTO going_deliveries {rows_of("SELECT id FROM going")};
    {_COUNT_OFF.format("'events', source, ''", f"events WHERE id {_GOING}")}
    {_COUNT_OFF.format("'unrouted', '', ''", f"events WHERE id {_GOING} AND routed = 0")}
    {_COUNT_OFF.format("'deliveries', destination, state", f"deliveries WHERE {_WITH_THEM}")}
    INSERT INTO going_dead SELECT dead_group, key, {dead_groups.QUARTER.format("ended_at_ms")}
        FROM deliveries WHERE {_WITH_THEM} AND dead_group IS NOT NULL;
    DELETE FROM attempts WHERE {_OF_DELIVERIES};
    DELETE FROM actions WHERE {_OF_DELIVERIES};
    DELETE FROM deliveries WHERE {_WITH_THEM};
    -- By the new event: the trail of the kept one is there for as long as what was sent in its place.
    DELETE FROM edits WHERE event_id {_GOING};
    DELETE FROM events WHERE id {_GOING};
    {dead_groups.LEAVE.format("going_dead")}
END;
"""
"""What a connection needs before it can forget: all of it is one statement, whose trigger is run without a word to the
interpreter. Its lock, beside a busy event loop, is waited for at every step of a statement, also at every row that one
gives; a transaction of 32 events in which SQLite worked for a millisecond took five."""
_FORGET = "INSERT INTO temp.forgetting VALUES (?, ?, ?, ?, ?)"
_GONE = "SELECT count(*) FROM temp.going"


def forgettable(connection: apsw.Connection, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
    """Events that may go, by what has ended of this kind."""
    if kind is Kind.UNROUTED:
        return _unrouted(connection, before, after, limit)
    ids, cursor, more = _ended(connection, kind.value, before.of(kind), after, limit)
    return Forgettable(tuple(_may_go(connection, ids, before)), cursor, more)


def _unrouted(connection: apsw.Connection, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
    within, _ = received_within(connection, None, before.unrouted_ms)
    query = f"""
        SELECT id FROM events INDEXED BY events_unrouted
        WHERE routed = 0 AND id > ? AND {within[0].sql} ORDER BY id LIMIT ?
    """
    ids = [str(id_) for (id_,) in connection.execute(query, (after or "", *within[0].values, limit))]
    # Not beyond one that is too young yet, though its id is old: nothing else will bring it up again.
    may_go = set(_may_go(connection, ids, before))
    done = next((place for place, id_ in enumerate(ids) if id_ not in may_go), len(ids))
    cursor = ids[done - 1] if done else after
    return Forgettable(tuple(id_ for id_ in ids if id_ in may_go), cursor, done == len(ids) == limit)


def _ended(
    connection: apsw.Connection, state: str, before_ms: int, after: str | None, limit: int
) -> tuple[list[str], str | None, bool]:
    """The events of the next deliveries that ended in this state, where to go on, and whether there is more."""
    at_ms, rowid = json.loads(after) if after else (-(2**62), 0)
    values = (state, at_ms, before_ms, at_ms, rowid, limit)
    rows: list[Row] = json.loads(connection.execute(_ENDED, values).get)
    cursor = json.dumps(rows[-1][1:]) if rows else after
    return list(dict.fromkeys(str(row[0]) for row in rows)), cursor, len(rows) == limit


def _may_go(connection: apsw.Connection, ids: Sequence[str], before: Cutoffs) -> list[str]:
    found = set(json.loads(connection.execute(_WHICH, _question(ids, before)).get)) if ids else set()
    return [id_ for id_ in ids if id_ in found]


def _question(ids: Sequence[str], before: Cutoffs) -> Row:
    return (json.dumps(list(ids)), before.unrouted_ms, before.delivered_ms, before.dead_ms, before.discarded_ms)


def forget(connection: apsw.Connection, event_ids: Sequence[str], before: Cutoffs) -> int:
    """Forget those that may still go."""
    # What cannot be read may be forgotten too.
    connection.execute(_FORGET, _question(event_ids, before))
    return int(connection.execute(_GONE).get)


def old_attempts(connection: apsw.Connection, before_ms: int, after: str | None, limit: int) -> Forgettable:
    """Events with old attempts, by each state in turn."""
    states = [each.value for each in (State.DELIVERED, State.DEAD, State.DISCARDED)]
    cursors = json.loads(after) if after else dict.fromkeys(states)
    for state in states:
        ids, cursors[state], more = _ended(connection, state, before_ms, cursors[state], limit)
        if ids:
            found = {str(id_) for (id_,) in connection.execute(_OLD_ATTEMPTS, (json.dumps(ids), before_ms))}
            more = more or state != states[-1]
            return Forgettable(tuple(id_ for id_ in ids if id_ in found), json.dumps(cursors), more)
    return Forgettable((), json.dumps(cursors), False)


def forget_attempts(connection: apsw.Connection, event_ids: Sequence[str], before_ms: int) -> int:
    """Forget the old attempts of what had ended by then."""
    connection.execute(_FORGET_ATTEMPTS, (json.dumps(list(event_ids)), before_ms))
    return connection.changes()


def lived_until(connection: apsw.Connection) -> int | None:
    """What was kept last."""
    found = connection.execute("SELECT lived_ms FROM marks").get
    return None if found is None else int(found)


def live_until(connection: apsw.Connection, at_ms: int) -> None:
    """Keep the later one."""
    connection.execute("UPDATE marks SET lived_ms = ?1 WHERE lived_ms IS NULL OR lived_ms < ?1", (at_ms,))


def give_back(connection: apsw.Connection) -> bool:
    """Cut a few free pages off the file. Only a file that was made for it can be shortened so; others fill up again."""
    if connection.execute("PRAGMA auto_vacuum").get != 2:
        return False
    free = int(connection.execute("PRAGMA freelist_count").get)
    if free <= max(FREE_PAGES_MIN, int(connection.execute("PRAGMA page_count").get) // FREE_SHARE):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({GIVE_PAGES})").fetchall()
    return True
