"""Genesys Cloud Open Messaging: the outbound webhook, the platform's one native and signed push.

Facts from the vendor's documentation and from logs of real deliveries:
- `X-Hub-Signature-256: sha256=` and the base64 (not hex) of HMAC-SHA256 over the raw body.
- An event is unique by `channel.id`, `id` and `channel.time` together: one message id comes as a message
  and again as its receipt. A redelivery repeats all three. The vendor's own examples of a typing event and of a
  receipt agree in all three, so `type` is part of the key here: it can only tell more events apart.
- `type` is Text, Structured, Receipt (of a `status`) or Event (of the `eventType` of each of its `events`);
  `conversationId` is missing from some receipts. The sender's name is in `from.nickname` or `from.nickName`.
- Timeout 10 s; five retries 5 s apart on timeout, 429 or 5xx; any other 4xx is final.
"""

from typing import Any

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.duplicate_names import RepeatedNames, ambiguous
from longstop.sources.reading import (
    compile_selector,
    fingerprint,
    joint_key,
    json_type,
    parse_object,
    text_of,
    time_at,
)

SCHEME = OWN_SCHEMES["genesys-open-messaging"]

RETRY_AFTER_MAX_S = 5
"""It tries again five times, 5 s apart, and drops the event then: told to wait longer, it would lose tries."""


def _parts(document: Any) -> list[Any]:
    """What stands at channel.id, id, channel.time and type; None where nothing does."""
    try:
        channel = document.get("channel").get
    except AttributeError:
        channel = {}.get
    return [channel("id"), document.get("id"), channel("time"), document.get("type")]


_REPEATED = RepeatedNames(_parts, ("channel", "id", "time", "type"))


def dedup_key(request: Request, document: Any) -> bytes:
    """The texts of the vendor's three parts and of `type` as a JSON array, which nothing but the same four can equal.

    A body that lacks one of the three is known by the hash of the whole: an authentic event is not refused for a
    field the vendor may leave out one day. Raises MalformedError for a part that is neither text nor a
    whole number, and for a repeated member name on the way to one.
    """
    parts = _parts(document)
    _REPEATED.check(request.body, document, parts)
    *three, kind = parts
    for part in three:
        if part is None or part == "":
            return fingerprint(request.body)
        if type(part) not in (str, int):
            raise ambiguous(f"{json_type(part)} in channel.id, id or channel.time")
    channel, message, time = map(str, three)
    # The time first: a store that keeps keys in order finds those of one moment in one place.
    return joint_key([time, channel, message, text_of(kind) or ""])


def event_type(_request: Request, document: Any) -> str | None:
    """What it is and of which kind, in lower case: `message.text`, `receipt.failed`, `event.typing`.

    A receipt is of the kind of its status, an event of the kinds of what is in `events`, each once, by name and joined
    with `+`. With any other `type` it is a message of that kind.
    """
    type_ = _lower(document.get("type"))
    if type_ == "receipt":
        kind = _lower(document.get("status"))
    elif type_ == "event":
        kind = "+".join(sorted(_kinds_of_events(document.get("events"))))
    else:
        type_, kind = "message", type_
    if not kind:
        return None if type_ == "message" else type_
    return text_of(f"{type_}.{kind}")


def _kinds_of_events(events: Any) -> set[str]:
    listed = events if type(events) is list else []
    kinds = (_lower(event.get("eventType")) for event in listed if type(event) is dict)
    return {kind for kind in kinds if kind}


def _lower(value: Any) -> str:
    return (text_of(value) or "").lower()


def build(settings: SourceSettings) -> Source:
    """An Open Messaging source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=SCHEME,
        parse=parse_object,
        dedup=dedup_key,
        type=event_type,
        key=compile_selector("conversationId").text,
        occurred=time_at("channel.time"),
        retry_after_max_s=RETRY_AFTER_MAX_S,
    )
