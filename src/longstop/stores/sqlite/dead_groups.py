"""The dead by what they died of: a row a group, kept by the transactions that let deliveries die or live again.

And when they died: how many in each quarter of an hour, kept alike.
"""

import apsw

from longstop.model.delivery import DeadReason, Delivery
from longstop.model.error_group import OTHER, group_of
from longstop.model.listing import DEAD_STEP_MS, DeadGroup, TimeSteps
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.unreadable import Row

SAMPLE = 5
GROUPS_MAX = 1_000
"""Of so many, what dies of yet another error joins the group of other errors of its destination, reason and status."""

QUARTER = f"({{0}} - {{0}} % {DEAD_STEP_MS})"
"""SQL for when the quarter of an hour began in which a time is."""
MOVE = "INSERT INTO dead_times (dead_group, at_ms, n) {} ON CONFLICT DO UPDATE SET n = n + excluded.n"
"""So many more, or fewer, died in a quarter of an hour. There may be fewer than none, until a recount put it right."""
MIGRATION = f"""
    -- How many of a group died in each quarter of an hour; no row for none.
    CREATE TABLE dead_times (
        dead_group INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (dead_group, at_ms)
    ) WITHOUT ROWID;
    INSERT INTO dead_times (dead_group, at_ms, n)
        SELECT dead_group, {QUARTER.format("ended_at_ms")}, count(*) FROM deliveries INDEXED BY deliveries_dead_at
        WHERE dead_group IS NOT NULL AND typeof(ended_at_ms) = 'integer' GROUP BY 1, 2;
"""

_SAME = "destination = {0} AND reason = {1} AND status = {2} AND error = {3}"
_NEW = _SAME.format("NEW.destination", "NEW.reason", "ifnull(NEW.last_status, -1)", "error_group(NEW.last_error)")
_NEW_TIME = (
    f"SELECT dead_group, {QUARTER.format('ended_at_ms')}, 1 FROM deliveries WHERE NEW.state = 'dead' AND id = NEW.id"
)
ON_ARRIVAL = f"""
    -- Not OR IGNORE: the OR of the statement that the trigger runs in takes precedence.
    INSERT INTO dead_groups (destination, reason, status, error)
        SELECT NEW.destination, NEW.reason, ifnull(NEW.last_status, -1), error_group(NEW.last_error)
        WHERE NEW.state = 'dead'
        ON CONFLICT DO NOTHING;
    UPDATE dead_groups SET n = n + 1, keys = keys + (NEW.key IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM deliveries WHERE dead_group = dead_groups.id AND key = NEW.key))
        WHERE NEW.state = 'dead' AND {_NEW};
    UPDATE deliveries SET dead_group = (SELECT id FROM dead_groups WHERE {_NEW})
        WHERE NEW.state = 'dead' AND id = NEW.id;
    {MOVE.format(_NEW_TIME)};
"""
"""What a trigger does with NEW, a delivery that was just inserted, so that what is dead on arrival (a quarantined
request) is in its group."""

LEAVE = f"""
    UPDATE dead_groups SET n = n - (SELECT count(*) FROM {{0}} AS gone WHERE gone.dead_group = dead_groups.id),
        keys = keys - (
            SELECT count(DISTINCT key) FROM {{0}} AS gone WHERE gone.dead_group = dead_groups.id AND NOT EXISTS (
                SELECT 1 FROM deliveries d WHERE d.dead_group = dead_groups.id AND d.key = gone.key))
        WHERE id IN (SELECT dead_group FROM {{0}});
    {MOVE.format("SELECT dead_group, at_ms, -count(*) FROM {0} WHERE true GROUP BY 1, 2")};
    DELETE FROM dead_times WHERE n = 0 AND (dead_group, at_ms) IN (SELECT dead_group, at_ms FROM {{0}});
"""
"""What a trigger does once the dead deliveries are gone that {0} names by group, key and quarter of an hour."""

_ENSURE = "INSERT OR IGNORE INTO dead_groups (destination, reason, status, error) VALUES (?, ?, ?, ?)"
_ID = f"SELECT id FROM dead_groups WHERE {_SAME.format('?', '?', '?', '?')}"
_OTHER_OF_KEY = "SELECT 1 FROM deliveries WHERE dead_group = ? AND key = ? LIMIT 1"
_ADD = "UPDATE dead_groups SET n = n + ?, keys = keys + ? WHERE id = ?"
_MOVE = MOVE.format("VALUES (?, ?, ?)")
_FORGET_TIME = "DELETE FROM dead_times WHERE dead_group = ? AND at_ms = ? AND n = 0"
_TIMES = """
    SELECT (at_ms - ?2) / ?3, iif(sum(typeof(n) <> 'integer'), NULL, sum(n)) FROM dead_times
    WHERE dead_group = ?1 AND at_ms >= ?2 AND at_ms < ?4 GROUP BY 1
"""
_LARGEST = """
    SELECT id, destination, reason, status, error, n, keys,
        (SELECT min(ended_at_ms) FROM deliveries WHERE dead_group = dead_groups.id),
        (SELECT max(ended_at_ms) FROM deliveries WHERE dead_group = dead_groups.id)
    FROM dead_groups WHERE n > 0 AND destination = ifnull(?, destination) ORDER BY n DESC, id LIMIT ?
"""
_to_reason = unreadable.reader("group of dead deliveries", ["n", "reason"], lambda row: DeadReason(row[1]))
_to_step = unreadable.reader("step of a group of the dead", ["number", "n"], lambda row: (int(row[0]), int(row[1])))
_SAMPLE = "SELECT id FROM deliveries WHERE dead_group = ? ORDER BY ended_at_ms DESC LIMIT ?"


def join(connection: apsw.Connection, delivery: Delivery) -> int:
    """A delivery is about to be dead: count it into its group; the group's id."""
    assert delivery.reason is not None
    status = -1 if delivery.last_status is None else delivery.last_status
    place = (delivery.destination, delivery.reason.value, status, group_of(delivery.last_error))
    group = connection.execute(_ID, place).get
    if group is None:
        if int(connection.execute("SELECT count(*) FROM dead_groups").get) >= GROUPS_MAX:
            place = (*place[:3], OTHER)
        connection.execute(_ENSURE, place)
        group = connection.execute(_ID, place).get
    _add(connection, 1, delivery.key, int(group))
    _move(connection, int(group), delivery.ended_at_ms, 1)
    return int(group)


def leave(connection: apsw.Connection, key: str | None, group: int, died_at_ms: int | None) -> None:
    """A delivery with this key, which died then, is no longer dead, and its row says so."""
    _add(connection, -1, key, group)
    _move(connection, group, died_at_ms, -1)


def _move(connection: apsw.Connection, group: int, died_at_ms: int | None, n: int) -> None:
    if not isinstance(died_at_ms, int):
        return  # A row that something else has written into: it was not counted either.
    place = (group, died_at_ms - died_at_ms % DEAD_STEP_MS)
    connection.execute(_MOVE, (*place, n))
    if n < 0:
        connection.execute(_FORGET_TIME, place)


def _add(connection: apsw.Connection, n: int, key: str | None, group: int) -> None:
    first = key is not None and connection.execute(_OTHER_OF_KEY, (group, key)).fetchone() is None
    connection.execute(_ADD, (n, n if first else 0, group))


def dead_groups(
    connection: apsw.Connection, destination: str | None, limit: int, over: TimeSteps | None
) -> list[DeadGroup]:
    """The largest groups, and when the dead of each died."""
    rows = connection.execute(_LARGEST, (destination, limit)).fetchall()
    return list(unreadable.each(rows, lambda row: _group(connection, row, over)))


def _group(connection: apsw.Connection, row: Row, over: TimeSteps | None) -> DeadGroup:
    id_, destination, reason, status, error, n, keys, first_at_ms, last_at_ms = row
    sample = tuple(str(each) for (each,) in connection.execute(_SAMPLE, (id_, SAMPLE)))
    place = destination, _to_reason((id_, reason)), None if status < 0 else status, error
    over_time = _over_time(connection, int(id_), over) if over else ()
    return DeadGroup(*place, n, keys, first_at_ms, last_at_ms, sample, over_time)


def _over_time(connection: apsw.Connection, group: int, over: TimeSteps) -> tuple[int, ...]:
    rows = connection.execute(_TIMES, (group, over.from_ms, over.step_ms, over.until_ms)).fetchall()
    steps = [0] * over.count
    for place, n in unreadable.each(rows, _to_step):
        steps[place] = max(0, n)
    return tuple(steps)
