"""An event with all that belongs to it as one line of JSON, and back: what is archived and what is exported.

Everything is in it that was kept: the body as text where it is UTF-8 (so that `zgrep` finds things), else as base64.
Headers are pairs of texts, decoded as Latin-1, which loses no byte. Fields are added and never renamed.
"""

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from longstop.model.action import Edit
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.event import Event, Headers, Origin
from longstop.model.ids import is_id
from longstop.model.listing import History, KeptEvent
from longstop.model.retention import WholeEvent


class _Line(msgspec.Struct, kw_only=True):
    """The fields of a line, in the order in which they are written."""

    id: str
    source: str
    type: str | None
    key: str | None
    dedup: bytes | None
    received_at_ms: int
    occurred_at_ms: int | None
    origin: Origin
    parent: str | None
    redeliveries: int
    made_by: Edit | None
    edits: tuple[Edit, ...]
    headers: tuple[tuple[str, str], ...]
    body: str | None
    body_base64: bytes | None
    deliveries: tuple[Delivery, ...]
    history: tuple[History, ...]
    dedup_until_ms: int | None = None


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def to_line(whole: WholeEvent) -> bytes:
    """One line, with its end."""
    event = whole.kept.event
    text = _text(event.body)
    line = _Line(
        id=event.id,
        source=event.source,
        type=event.type,
        key=event.key,
        dedup=event.dedup,
        received_at_ms=event.received_at_ms,
        occurred_at_ms=event.occurred_at_ms,
        origin=event.origin,
        parent=event.parent,
        redeliveries=whole.kept.redeliveries,
        made_by=whole.kept.made_by,
        edits=whole.kept.edits,
        headers=tuple(event.headers),
        body=text,
        body_base64=event.body if text is None else None,
        deliveries=whole.kept.deliveries,
        history=whole.histories,
        dedup_until_ms=whole.dedup_until_ms,
    )
    return _encode(line) + b"\n"


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def from_line(line: bytes) -> WholeEvent:
    """The event of one line. Raises ValueError, which says what is wrong with it."""
    row = _decode(line)
    _check(row)
    event = Event(
        id=row.id,
        source=row.source,
        received_at_ms=row.received_at_ms,
        body=(row.body_base64 or b"") if row.body is None else row.body.encode(),
        headers=Headers(row.headers),
        type=row.type,
        key=row.key,
        dedup=row.dedup,
        origin=row.origin,
        parent=row.parent,
        occurred_at_ms=row.occurred_at_ms,
    )
    kept = KeptEvent(event, row.redeliveries, row.deliveries, row.made_by, row.edits)
    return WholeEvent(kept, row.history, row.dedup_until_ms)


def _check(row: _Line) -> None:
    """What the types do not say."""
    if len(row.history) != len(row.deliveries):
        raise ValueError(f"found {len(row.history)} histories of {len(row.deliveries)} deliveries; expected one each")
    for id_ in (row.id, *(each.id for each in row.deliveries)):
        if not is_id(id_):
            raise ValueError(f"found the id {id_!r}; expected a UUID")
    for each in row.deliveries:
        if each.event_id != row.id:
            raise ValueError(f"found a delivery of the event {each.event_id!r} in that of {row.id}")
        if (each.state is State.DEAD) != (each.reason is not None):
            raise ValueError(f"found the delivery {each.id}, {each.state}, with the reason {each.reason} to be dead")


def is_of(line: bytes, id_: str) -> bool:
    """Whether a line is of the event of this id or of a delivery of it: an id may stand in any body too."""
    if id_.encode() not in line:
        return False
    kept = from_line(line).kept
    return id_ == kept.event.id or any(id_ == each.id for each in kept.deliveries)


def from_lines(lines: Iterable[bytes]) -> WholeEvent:
    """The event of one or more lines about it, the oldest first: what the last says, with the attempts of all."""
    found = [from_line(line) for line in lines]
    last = found[-1]
    attempts: dict[str, dict[int, Attempt]] = {}
    for whole in found:
        for delivery, history in zip(whole.kept.deliveries, whole.histories, strict=True):
            attempts.setdefault(delivery.id, {}).update((each.number, each) for each in history.attempts)
    histories = [
        History(tuple(attempts[each.id][number] for number in sorted(attempts[each.id])), history.actions)
        for each, history in zip(last.kept.deliveries, last.histories, strict=True)
    ]
    return replace(last, histories=tuple(histories))
