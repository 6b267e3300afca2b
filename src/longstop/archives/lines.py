"""An archived event as one line of JSON, and back.

Everything is in it that was kept: the body as text where it is UTF-8 (so that `zgrep` finds things), else as base64.
Headers are pairs of texts, decoded as Latin-1, which loses no byte. Fields are added and never renamed.
"""

import base64
from collections.abc import Iterable
from typing import Any

import msgspec

from longstop.model.action import ActionRecord, Edit
from longstop.model.delivery import Attempt, Delivery
from longstop.model.event import Event, Headers, Origin
from longstop.model.listing import History, KeptEvent
from longstop.model.retention import WholeEvent

Row = dict[str, Any]


def to_line(whole: WholeEvent) -> bytes:
    """One line, with its end."""
    event = whole.kept.event
    text = _text(event.body)
    row = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "key": event.key,
        "dedup": event.dedup,
        "received_at_ms": event.received_at_ms,
        "occurred_at_ms": event.occurred_at_ms,
        "origin": event.origin,
        "parent": event.parent,
        "redeliveries": whole.kept.redeliveries,
        "made_by": whole.kept.made_by,
        "edits": whole.kept.edits,
        "headers": list(event.headers),
        "body": text,
        "body_base64": event.body if text is None else None,
        "deliveries": whole.kept.deliveries,
        "history": whole.histories,
    }
    return msgspec.json.encode(row) + b"\n"


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def from_lines(lines: Iterable[bytes]) -> WholeEvent:
    """The event of one or more lines about it, the oldest first: what the last says, with the attempts of all."""
    rows: list[Row] = [msgspec.json.decode(line) for line in lines]
    last = rows[-1]
    attempts: dict[str, dict[int, Attempt]] = {}
    for row in rows:
        for delivery, history in zip(row["deliveries"], row["history"], strict=True):
            known = attempts.setdefault(delivery["id"], {})
            known.update((each["number"], msgspec.convert(each, Attempt)) for each in history["attempts"])
    deliveries = msgspec.convert(last["deliveries"], tuple[Delivery, ...])
    histories = [
        History(
            tuple(attempts[each.id][number] for number in sorted(attempts[each.id])),
            msgspec.convert(history["actions"], tuple[ActionRecord, ...]),
        )
        for each, history in zip(deliveries, last["history"], strict=True)
    ]
    made_by = msgspec.convert(last["made_by"], Edit | None)
    edits = msgspec.convert(last["edits"], tuple[Edit, ...])
    return WholeEvent(KeptEvent(_event(last), last["redeliveries"], deliveries, made_by, edits), tuple(histories))


def _event(row: Row) -> Event:
    text = row["body"]
    return Event(
        id=row["id"],
        source=row["source"],
        received_at_ms=row["received_at_ms"],
        body=base64.b64decode(row["body_base64"]) if text is None else text.encode(),
        headers=Headers((name, value) for name, value in row["headers"]),
        type=row["type"],
        key=row["key"],
        dedup=None if row["dedup"] is None else base64.b64decode(row["dedup"]),
        origin=Origin(row["origin"]),
        parent=row["parent"],
        occurred_at_ms=row["occurred_at_ms"],
    )
