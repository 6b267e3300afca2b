"""Events that a person sent in the place of kept ones, and the record of who, when and why."""

from collections.abc import Sequence

import apsw

from longstop.model.action import Edit
from longstop.model.append import Append
from longstop.stores.sqlite import append_rows, unreadable

_COLUMNS = 'event_id, parent, at_ms, "by", why'
_MADE_BY = f"SELECT {_COLUMNS} FROM edits WHERE event_id = ?"
_OF_PARENT = f"SELECT {_COLUMNS} FROM edits WHERE parent = ? ORDER BY event_id"
_REPLACED = "UPDATE deliveries SET replaced_by = ? WHERE id = ?"

_to_edit = unreadable.reader("edit", "event_id parent at_ms by why".split(), lambda row: Edit(*row))


def replace(connection: apsw.Connection, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
    """Keep the new event and the record; the inside of one transaction."""
    append_rows.append(connection, [append])
    values = (edit.event_id, edit.parent, edit.at_ms, edit.by, edit.why)
    connection.execute(f"INSERT INTO edits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", values)
    for delivery_id in delivery_ids:
        connection.execute(_REPLACED, (edit.event_id, delivery_id))


def made_by(connection: apsw.Connection, event_id: str) -> Edit | None:
    """The record of how an event came to be sent in another's place."""
    return next(unreadable.each(connection.execute(_MADE_BY, (event_id,)), _to_edit), None)


def edits(connection: apsw.Connection, event_id: str) -> tuple[Edit, ...]:
    """What was sent in an event's place."""
    return tuple(unreadable.each(connection.execute(_OF_PARENT, (event_id,)), _to_edit))
