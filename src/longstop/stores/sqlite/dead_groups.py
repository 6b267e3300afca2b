"""The dead by what they died of: a row a group, kept by the transactions that let deliveries die or live again."""

import apsw

from longstop.model.delivery import DeadReason, Delivery
from longstop.model.error_group import OTHER, group_of
from longstop.model.listing import DeadGroup
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.unreadable import Row

SAMPLE = 5
GROUPS_MAX = 1_000
"""Of so many, what dies of yet another error joins the group of other errors of its destination, reason and status."""

_SAME = "destination = {0} AND reason = {1} AND status = {2} AND error = {3}"
_NEW = _SAME.format("NEW.destination", "NEW.reason", "ifnull(NEW.last_status, -1)", "error_group(NEW.last_error)")
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
"""
"""What a trigger does with NEW, a delivery that was just inserted, so that what is dead on arrival (a quarantined
request) is in its group."""

LEAVE = """
    UPDATE dead_groups SET n = n - (SELECT count(*) FROM {0} AS gone WHERE gone.dead_group = dead_groups.id),
        keys = keys - (
            SELECT count(DISTINCT key) FROM {0} AS gone WHERE gone.dead_group = dead_groups.id AND NOT EXISTS (
                SELECT 1 FROM deliveries d WHERE d.dead_group = dead_groups.id AND d.key = gone.key))
        WHERE id IN (SELECT dead_group FROM {0});
"""
"""What a trigger does once the dead deliveries that {0} names by group and key are gone."""

_ENSURE = "INSERT OR IGNORE INTO dead_groups (destination, reason, status, error) VALUES (?, ?, ?, ?)"
_ID = f"SELECT id FROM dead_groups WHERE {_SAME.format('?', '?', '?', '?')}"
_OTHER_OF_KEY = "SELECT 1 FROM deliveries WHERE dead_group = ? AND key = ? LIMIT 1"
_ADD = "UPDATE dead_groups SET n = n + ?, keys = keys + ? WHERE id = ?"
_LARGEST = """
    SELECT id, destination, reason, status, error, n, keys,
        (SELECT min(ended_at_ms) FROM deliveries WHERE dead_group = dead_groups.id),
        (SELECT max(ended_at_ms) FROM deliveries WHERE dead_group = dead_groups.id)
    FROM dead_groups WHERE n > 0 AND destination = ifnull(?, destination) ORDER BY n DESC, id LIMIT ?
"""
_to_reason = unreadable.reader("group of dead deliveries", ["n", "reason"], lambda row: DeadReason(row[1]))
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
    return int(group)


def leave(connection: apsw.Connection, key: str | None, group: int) -> None:
    """A delivery with this key is no longer dead, and its row says so."""
    _add(connection, -1, key, group)


def _add(connection: apsw.Connection, n: int, key: str | None, group: int) -> None:
    first = key is not None and connection.execute(_OTHER_OF_KEY, (group, key)).fetchone() is None
    connection.execute(_ADD, (n, n if first else 0, group))


def dead_groups(connection: apsw.Connection, destination: str | None, limit: int) -> list[DeadGroup]:
    """The largest groups."""
    rows = connection.execute(_LARGEST, (destination, limit)).fetchall()
    return list(unreadable.each(rows, lambda row: _group(connection, row)))


def _group(connection: apsw.Connection, row: Row) -> DeadGroup:
    id_, destination, reason, status, error, n, keys, first_at_ms, last_at_ms = row
    sample = tuple(str(each) for (each,) in connection.execute(_SAMPLE, (id_, SAMPLE)))
    place = destination, _to_reason((id_, reason)), None if status < 0 else status, error
    return DeadGroup(*place, n, keys, first_at_ms, last_at_ms, sample)
