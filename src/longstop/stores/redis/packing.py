"""Between the model and what Redis keeps: packed rows (MessagePack), in one order of columns, and both directions.

Redis has a packer of its own in Lua (`cmsgpack`), which knows no nil inside of a list and no type for bytes. So in what
Lua reads (`pack`) None is False and bytes are written as text; text that is no UTF-8 (a lone surrogate) likewise, with
`surrogatepass`. What only we read (`seal`) is as usual.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from longstop.model.action import ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger, Wait
from longstop.model.error_group import group_of
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event, Headers, Origin

_FIELDS = (
    *("id", "event_id", "source", "type", "key", "received_at_ms", "destination", "state", "due_at_ms", "lane"),
    *("round", "round_at_ms", "attempts", "tries", "lost", "token", "leased_at_ms", "lease_until_ms", "worker"),
    *("reason", "last_status", "last_error", "ended_at_ms", "expires_at_ms", "skipped", "wait", "replaced_by"),
)
DELIVERY_COLUMNS = (*_FIELDS, "dead_group")
"""A delivery's row. `dead_group`: of one that is dead, what `error_group.group_of` makes of its error."""
EVENT_COLUMNS = ("id", "source", "type", "key", "received_at_ms", "body_bytes", "delivery_ids", "apart")
"""Of an event's head, what Lua reads. Before it stands what it does not, and before that how long that is (4 bytes).
apart: the name of a body that is not in memory (large_bodies.py); mostly it is, and the row ends before this."""
CIRCUIT_COLUMNS = (
    *("version", "destination", "opened_at_ms", "probe_at_ms", "answer_ms", "why", "failed", "passed", "probe_key"),
)
PAUSE_COLUMNS = ("destination", "at_ms", "by", "why")
EDIT_COLUMNS = ("event_id", "parent", "at_ms", "by", "why")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def pack(values: Sequence[Any]) -> bytes:
    """A list that Lua reads."""
    try:
        return _encode(_for_lua(values))
    except UnicodeEncodeError:
        return _encode(_for_lua(_without_surrogates(values)))


def unpack(packed: bytes) -> list[Any]:
    """The values of such a list: numbers, text and None."""
    try:
        values = _decode(packed)
    except UnicodeDecodeError:
        values = [_text_or_value(bytes(raw)) for raw in _decode_raw(packed)]
    return [None if value is False else value for value in values]


def seal(values: Sequence[Any]) -> bytes:
    """A list that nobody else reads."""
    try:
        return _encode(values)
    except UnicodeEncodeError:
        return _encode(_without_surrogates(values))


unseal = _decode
"""The values of such a list; text of which some is no UTF-8 is bytes (`text`)."""


def text(value: Any) -> Any:
    """A text column's value."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _for_lua(value: Any) -> Any:
    # By type, and not in the order of a chain of questions: this is asked of each value of each row.
    if value is None:
        return False
    kind = type(value)
    if kind is str or kind is int:
        return value
    if kind is bytes:
        return _as_text(value)
    return [_for_lua(each) for each in value] if kind is list or kind is tuple else value


def _as_text(value: bytes) -> msgspec.Raw:
    """Bytes with MessagePack's head of a text."""
    size = len(value)
    if size < 32:
        head = bytes((0xA0 | size,))
    elif size < 1 << 16:
        head = b"\xda" + size.to_bytes(2, "big")
    else:
        head = b"\xdb" + size.to_bytes(4, "big")
    return msgspec.Raw(head + value)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return [_without_surrogates(each) for each in value] if isinstance(value, list | tuple) else value


_TEXT_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}
"""MessagePack's first byte of a long text, and after how many bytes its characters begin."""


def _text_or_value(raw: bytes) -> Any:
    first = raw[0]
    if 0xA0 <= first <= 0xBF:
        return text(raw[1:])
    if first in _TEXT_HEADS:
        return text(raw[_TEXT_HEADS[first] :])
    return msgspec.msgpack.decode(raw)


# -- deliveries ---------------------------------------------------------------------------------

_STATE = _FIELDS.index("state")
_REASON = _FIELDS.index("reason")
_SKIPPED = _FIELDS.index("skipped")
_WAIT = _FIELDS.index("wait")


_values_of = attrgetter(*_FIELDS)


def pack_delivery(delivery: Delivery) -> bytes:
    """A delivery's row."""
    group = group_of(delivery.last_error) if delivery.state is State.DEAD else None
    values: list[Any] = [*_values_of(delivery), group]
    values[_SKIPPED] = int(delivery.skipped)
    return pack(values)


def to_delivery(packed: bytes) -> Delivery:
    """The delivery of a row. Raises UnreadableRowError."""
    try:
        values = unpack(packed)[: len(_FIELDS)]
        values[_STATE] = State(values[_STATE])
        values[_REASON] = DeadReason(values[_REASON]) if values[_REASON] else None
        values[_SKIPPED] = bool(values[_SKIPPED])
        values[_WAIT] = Wait(values[_WAIT]) if values[_WAIT] else None
        return Delivery(*values)
    except (ValueError, TypeError, IndexError, msgspec.MsgspecError) as error:
        raise UnreadableRowError("a delivery", str(error)) from error


# -- events -------------------------------------------------------------------------------------


def pack_head(append: Append, apart: str | None) -> bytes:
    """All of an event but its body, with the ids of its deliveries, oldest first."""
    event = append.event
    sealed = seal((event.dedup, event.origin.value, event.parent, event.occurred_at_ms, event.headers.raw))
    ids = sorted(each.id for each in append.deliveries)
    known = (event.id, event.source, event.type, event.key, event.received_at_ms, len(event.body), ids)
    read = pack(known if apart is None else (*known, apart))
    return b"".join((len(sealed).to_bytes(4, "big"), sealed, read))


def to_event(head: bytes | None, body: bytes | None) -> Event:
    """The event of a head, with this body. Raises UnreadableRowError, also where there is none."""
    if head is None or body is None:
        raise UnreadableRowError("an event", "it is not there")
    try:
        end = 4 + int.from_bytes(head[:4], "big")
        dedup, origin, parent, occurred_at_ms, raw = unseal(head[4:end])
        id_, source, type_, key, received_at_ms, *_ = unpack(head[end:])
        return Event(
            id=id_,
            source=source,
            received_at_ms=received_at_ms,
            body=body,
            headers=Headers.from_wire((name, value) for name, value in raw),
            type=type_,
            key=key,
            dedup=dedup,
            origin=Origin(origin),
            parent=parent,
            occurred_at_ms=occurred_at_ms,
        )
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise UnreadableRowError("an event", str(error)) from error


def body_bytes(head: bytes) -> int:
    """How large the body of a head's event is."""
    return int(_read_part(head)[5])


def delivery_ids(head: bytes) -> list[str]:
    """The ids of a head's event's deliveries, oldest first."""
    return [str(each) for each in _read_part(head)[6]]


def where_body_lies(head: bytes) -> str | None:
    """The name of a head's event's body, where that is not in memory."""
    part = _read_part(head)
    return str(part[7]) if len(part) > 7 else None


def _read_part(head: bytes) -> list[Any]:
    return unpack(head[4 + int.from_bytes(head[:4], "big") :])


def item(append: Append, apart: str | None = None) -> list[Any]:
    """What the functions keep an event from (functions/events.lua). apart: where its body is by now, if not here."""
    values = _bare_item(append)
    values[_HEAD], values[_BODY] = pack_head(append, apart), append.event.body if apart is None else None
    return values


def items(appends: Sequence[Append], apart: Mapping[str, str]) -> list[bytes]:
    """The same of many, packed without heads and bodies, and these behind it in turns. apart: by event's id."""
    bare, behind = [], []
    for each in appends:
        name = apart.get(each.event.id)
        values = _bare_item(each)
        values[_BODY] = name is None
        bare.append(values)
        behind += [pack_head(each, name), each.event.body if name is None else b""]
    return [pack(bare), *behind]


_HEAD, _BODY = 5, 6
"""Where an item has them."""


def _bare_item(append: Append) -> list[Any]:
    event = append.event
    digest = None if event.dedup is None else dedup_digest(event.source, event.dedup)
    rows = [pack_delivery(each) for each in append.deliveries]
    values = (event.id, event.source, event.type, event.key, event.received_at_ms, None, None, rows)
    return [*values, digest, append.dedup_until_ms]


# -- what is recorded ---------------------------------------------------------------------------


def pack_attempt(a: Attempt) -> bytes:
    """An attempt's record."""
    return seal(
        (a.number, a.round, a.started_at_ms, a.duration_ms, a.outcome.value, a.status, a.error, a.answer, a.frames)
    )


def to_attempt(packed: bytes) -> Attempt:
    """The attempt of a record."""
    number, round_, started_at_ms, duration_ms, outcome, status, error, answer, frames = unseal(packed)
    kind = OutcomeKind(outcome)
    return Attempt(number, round_, started_at_ms, duration_ms, kind, status, text(error), answer, text(frames))


def pack_action(record: ActionRecord) -> bytes:
    """An action's record."""
    return pack((record.trigger.value, record.at_ms, record.by, record.why))


def to_action(packed: bytes) -> ActionRecord:
    """The action of a record."""
    trigger, at_ms, by, why = unpack(packed)
    return ActionRecord(Trigger(trigger), at_ms, by, why)


def pack_circuit(circuit: Circuit) -> bytes:
    """An open circuit."""
    return pack([getattr(circuit, name) for name in CIRCUIT_COLUMNS])


def to_circuit(packed: bytes) -> Circuit:
    """The open circuit of a record."""
    return Circuit(**dict(zip(CIRCUIT_COLUMNS, unpack(packed), strict=True)))


def pack_pause(pause: Pause) -> bytes:
    """A pause."""
    return pack([getattr(pause, name) for name in PAUSE_COLUMNS])


def to_pause(packed: bytes) -> Pause:
    """The pause of a record."""
    return Pause(*unpack(packed))


def pack_edit(edit: Edit) -> bytes:
    """The record of an event that a person sent in another's place."""
    return pack([getattr(edit, name) for name in EDIT_COLUMNS])


def to_edit(packed: bytes) -> Edit:
    """The edit of a record."""
    return Edit(*unpack(packed))
