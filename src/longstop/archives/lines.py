"""An archived event as one line of JSON, and back.

Everything is in it that was kept: the body as text where it is UTF-8 (so that `zgrep` finds things), else as base64.
Headers are pairs of texts, decoded as Latin-1, which loses no byte. Fields are added and never renamed.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger
from longstop.model.event import Event, Headers, Origin
from longstop.model.listing import History, KeptEvent
from longstop.model.retention import WholeEvent

Row = dict[str, Any]


def to_line(whole: WholeEvent) -> bytes:
    """One line, with its end."""
    event = whole.kept.event
    row = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "key": event.key,
        "dedup": None if event.dedup is None else base64.b64encode(event.dedup).decode(),
        "received_at_ms": event.received_at_ms,
        "occurred_at_ms": event.occurred_at_ms,
        "origin": event.origin.value,
        "parent": event.parent,
        "redeliveries": whole.kept.redeliveries,
        "headers": [list(pair) for pair in event.headers],
        **_body(event.body),
        "deliveries": [
            {**asdict(delivery), "history": _history(history)}
            for delivery, history in zip(whole.kept.deliveries, whole.histories, strict=True)
        ],
    }
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _body(body: bytes) -> Row:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _history(history: History) -> Row:
    return {
        "attempts": [{**asdict(each), "answer": base64.b64encode(each.answer).decode()} for each in history.attempts],
        "actions": [asdict(each) for each in history.actions],
    }


def from_lines(lines: Iterable[bytes]) -> WholeEvent:
    """The event of one or more lines about it, the oldest first: what the last says, with the attempts of all."""
    rows: list[Row] = [json.loads(line.decode("utf-8", "surrogatepass")) for line in lines]
    last = rows[-1]
    attempts: dict[str, dict[int, Attempt]] = {}
    for row in rows:
        for delivery in row["deliveries"]:
            known = attempts.setdefault(delivery["id"], {})
            known.update((each["number"], _attempt(each)) for each in delivery["history"]["attempts"])
    histories = [
        History(
            tuple(attempts[each["id"]][number] for number in sorted(attempts[each["id"]])),
            tuple(
                ActionRecord(**{**action, "trigger": Trigger(action["trigger"])})
                for action in each["history"]["actions"]
            ),
        )
        for each in last["deliveries"]
    ]
    kept = KeptEvent(_event(last), last["redeliveries"], tuple(_delivery(each) for each in last["deliveries"]))
    return WholeEvent(kept, tuple(histories))


def _event(row: Row) -> Event:
    text = row.get("body")
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


def _delivery(row: Row) -> Delivery:
    fields = {name: value for name, value in row.items() if name != "history"}
    reason = fields["reason"]
    return Delivery(**{**fields, "state": State(fields["state"]), "reason": DeadReason(reason) if reason else None})


def _attempt(row: Row) -> Attempt:
    return Attempt(**{**row, "outcome": OutcomeKind(row["outcome"]), "answer": base64.b64decode(row["answer"])})
