"""Messages as a queue hands them to a function: which deliveries they name, and which are events themselves.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html; an event of Amazon EventBridge that a rule has put into the
queue is its envelope: `detail-type`, `source`, `detail`, `id`.
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event of EventBridge, as it came."""

    message_id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Messages:
    """What a batch of messages says."""

    deliveries: Mapping[str, str]
    """Delivery to the message that names it."""
    envelopes: tuple[Envelope, ...]
    unknown: tuple[str, ...]
    """Messages that are neither; a native redrive keeps them for a person."""


def records(event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What the service hands over. Raises TypeError where the function is called by something else."""
    found = event.get("Records")
    if not isinstance(found, list) or any("messageId" not in each for each in found):
        named = ", ".join(sorted(event)) or "nothing"
        todo = "have the queue call this function, and a rule of EventBridge put its events into the queue"
        raise TypeError(f"this is no batch of a queue's messages: found {named}; expected Records of SQS; {todo}")
    return found


def read(records: Iterable[Mapping[str, Any]]) -> Messages:
    """What the records of an invocation say."""
    deliveries: dict[str, str] = {}
    envelopes: list[Envelope] = []
    unknown: list[str] = []
    for record in records:
        id_, body = str(record["messageId"]), str(record["body"])
        said = _parsed(body)
        if isinstance(said.get("delivery"), str):
            deliveries[said["delivery"]] = id_
        elif isinstance(said.get("detail-type"), str) and "detail" in said:
            envelopes.append(Envelope(id_, body.encode("utf-8", "surrogatepass")))
        else:
            unknown.append(id_)
    return Messages(deliveries, tuple(envelopes), tuple(unknown))


def _parsed(body: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def failures(message_ids: Iterable[str]) -> dict[str, Any]:
    """What the function returns: these come again, all others are done."""
    return {"batchItemFailures": [{"itemIdentifier": each} for each in message_ids]}
