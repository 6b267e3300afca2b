"""Events that a person sent in the place of kept ones, and the record of who, when and why."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import apsw

from longstop.model.action import Edit
from longstop.model.append import Append
from longstop.stores.sqlite import append_rows, unreadable

_COLUMNS = 'event_id, parent, at_ms, "by", why'
_MADE_BY = f"SELECT {_COLUMNS} FROM edits WHERE event_id = ?"
_OF_PARENT = f"SELECT {_COLUMNS} FROM edits WHERE parent = ? ORDER BY event_id"
_OF_THESE = f"""
    SELECT {_COLUMNS} FROM edits
    WHERE event_id IN (SELECT value FROM json_each(?1)) OR parent IN (SELECT value FROM json_each(?1))
    ORDER BY event_id
"""
_INSERT = f"INSERT INTO edits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
_REPLACED = "UPDATE deliveries SET replaced_by = ? WHERE id = ?"

_to_edit = unreadable.reader("edit", "event_id parent at_ms by why".split(), lambda row: Edit(*row))


def replace(connection: apsw.Connection, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
    """Keep the new event and the record; the inside of one transaction."""
    append_rows.append(connection, [append])
    put(connection, edit)
    for delivery_id in delivery_ids:
        connection.execute(_REPLACED, (edit.event_id, delivery_id))


def put(connection: apsw.Connection, edit: Edit) -> None:
    """Keep the record."""
    connection.execute(_INSERT, (edit.event_id, edit.parent, edit.at_ms, edit.by, edit.why))


def made_by(connection: apsw.Connection, event_id: str) -> Edit | None:
    """The record of how an event came to be sent in another's place."""
    return next(unreadable.each(connection.execute(_MADE_BY, (event_id,)), _to_edit), None)


def edits(connection: apsw.Connection, event_id: str) -> tuple[Edit, ...]:
    """What was sent in an event's place."""
    return tuple(unreadable.each(connection.execute(_OF_PARENT, (event_id,)), _to_edit))


class Trails:
    """The records about some events."""

    def __init__(self, records: Iterable[Edit]) -> None:
        self._made_by: dict[str, Edit] = {}
        self._edits: defaultdict[str, list[Edit]] = defaultdict(list)
        for each in records:
            self._made_by[each.event_id] = each
            self._edits[each.parent].append(each)

    def of(self, event_id: str) -> tuple[Edit | None, tuple[Edit, ...]]:
        """How an event came to be sent in another's place, and what was sent in its own."""
        return self._made_by.get(event_id), tuple(self._edits.get(event_id, ()))


def trails(connection: apsw.Connection, event_ids: str) -> Trails:
    """The records about these events (a JSON array of ids), by one statement."""
    return Trails(unreadable.each(connection.execute(_OF_THESE, (event_ids,)), _to_edit))
