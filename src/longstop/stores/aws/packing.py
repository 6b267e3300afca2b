"""Between the model and what an item says: JSON of a row's values in one order, in which any text can be written."""

import json
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Wait
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event, Headers, Origin
from longstop.stores.aws.attributes import Item

DELIVERY_COLUMNS = tuple(each.name for each in fields(Delivery))
_ATTEMPT_COLUMNS = tuple(each.name for each in fields(Attempt))
_CIRCUIT_COLUMNS = tuple(each.name for each in fields(Circuit))
_EVENT_COLUMNS = ("id", "source", "received_at_ms", "type", "key", "parent", "occurred_at_ms")

_delivery_values = attrgetter(*DELIVERY_COLUMNS)
_attempt_values = attrgetter(*_ATTEMPT_COLUMNS)
_circuit_values = attrgetter(*_CIRCUIT_COLUMNS)
_event_values = attrgetter(*_EVENT_COLUMNS)
_STATE, _REASON, _WAIT = (DELIVERY_COLUMNS.index(each) for each in ("state", "reason", "wait"))
_OUTCOME, _ANSWER = (_ATTEMPT_COLUMNS.index(each) for each in ("outcome", "answer"))


def pack(values: Sequence[Any]) -> str:
    """A row's values, which a person who looks at the table can read. What is not ASCII is escaped; bytes are text, a
    character each."""
    return json.dumps(values, separators=(",", ":"), default=_latin)


def _latin(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"{type(value)} has no form here")


def unpack_values(what: str, item: Item) -> list[Any]:
    """The values of a row. Raises UnreadableRowError."""
    return _unpack(what, item.get("row"))


def _unpack(what: str, packed: Any) -> list[Any]:
    try:
        values = json.loads(packed)
    except (TypeError, ValueError) as error:
        raise UnreadableRowError(what, str(error)) from error
    if not isinstance(values, list):
        raise UnreadableRowError(what, "no list of values")
    return values


def pack_delivery(delivery: Delivery) -> str:
    """A delivery's row."""
    return pack(_delivery_values(delivery))


def to_delivery(item: Item) -> Delivery:
    """The delivery of a row. Raises UnreadableRowError."""
    values = _unpack("a delivery", item.get("row"))
    try:
        values[_STATE] = State(values[_STATE])
        values[_REASON] = None if values[_REASON] is None else DeadReason(values[_REASON])
        values[_WAIT] = None if values[_WAIT] is None else Wait(values[_WAIT])
        return Delivery(*values)
    except (ValueError, TypeError, IndexError) as error:
        raise UnreadableRowError("a delivery", str(error)) from error


def pack_attempt(attempt: Attempt) -> str:
    """An attempt's row."""
    return pack(_attempt_values(attempt))


def to_attempt(item: Item) -> Attempt:
    """The attempt of a row. Raises UnreadableRowError."""
    values = _unpack("an attempt", item.get("row"))
    try:
        values[_OUTCOME] = OutcomeKind(values[_OUTCOME])
        values[_ANSWER] = values[_ANSWER].encode("latin-1")
        return Attempt(*values)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UnreadableRowError("an attempt", str(error)) from error


def pack_circuit(circuit: Circuit) -> str:
    """A circuit's row."""
    return pack(_circuit_values(circuit))


def to_circuit(item: Item) -> Circuit:
    """The circuit of a row. Raises UnreadableRowError."""
    try:
        return Circuit(*_unpack("a circuit", item.get("row")))
    except TypeError as error:
        raise UnreadableRowError("a circuit", str(error)) from error


def to_pause(item: Item) -> Pause:
    """The pause of a row. Raises UnreadableRowError."""
    try:
        return Pause(*_unpack("a pause", item.get("row")))
    except TypeError as error:
        raise UnreadableRowError("a pause", str(error)) from error


def pack_event(event: Event, delivery_ids: Sequence[str]) -> str:
    """All of an event but its body."""
    headers = [(name, value) for name, value in event.headers.raw]
    return pack((*_event_values(event), event.dedup, event.origin, headers, list(delivery_ids)))


def to_event(item: Item, body: bytes) -> Event:
    """The event of a row, with this body. Raises UnreadableRowError."""
    values = _unpack("an event", item.get("row"))
    try:
        id_, source, received_at_ms, type_, key, parent, occurred_at_ms, dedup, origin, headers, _ = values
        return Event(
            id=id_,
            source=source,
            received_at_ms=received_at_ms,
            body=body,
            headers=Headers.from_wire((name.encode("latin-1"), text.encode("latin-1")) for name, text in headers),
            type=type_,
            key=key,
            dedup=None if dedup is None else dedup.encode("latin-1"),
            origin=Origin(origin),
            parent=parent,
            occurred_at_ms=occurred_at_ms,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableRowError("an event", str(error)) from error


def delivery_ids(item: Item) -> list[str]:
    """The ids of an event's deliveries, oldest first. Raises UnreadableRowError."""
    values = _unpack("an event", item.get("row"))
    if not values or not isinstance(values[-1], list):
        raise UnreadableRowError("an event", "no ids of its deliveries")
    return [str(each) for each in values[-1]]
