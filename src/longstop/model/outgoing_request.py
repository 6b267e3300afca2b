"""What a delivery over HTTP says beside its body: the HTTP sender sends it, and the operators' side shows it. Pure.

Three parts, each of which takes precedence over the one before: what is said of the event, the headers that are
configured, and what says which delivery it is. Beside them comes what proves that it is ours.
"""

import re
from collections.abc import Sequence

from longstop.model.event import Event
from longstop.model.settings import AuthSettings
from longstop.model.trace_context import outgoing

Pairs = list[tuple[str, str]]
"""Names and values of headers."""

UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters, which could end a header and begin another, and lone surrogates, which have no encoding."""


def event_headers(event: Event, user_agent: str) -> Pairs:
    """Who sends it, what the event's sender said of its body, and the trace that it belongs to."""
    asked = [("User-Agent", user_agent), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
    return [*asked, *_content(event), *outgoing(event.headers)]


def delivery_headers(event: Event, delivery_id: str, attempt: int, timestamp: str) -> Pairs:
    """Which delivery and attempt it is; timestamp: of the attempt, in Unix seconds."""
    return [
        ("webhook-id", event.id),
        ("webhook-timestamp", timestamp),
        ("Idempotency-Key", delivery_id),
        ("Longstop-Attempt", str(attempt)),
        *([] if UNSENDABLE.search(event.source) else [("Longstop-Source", event.source)]),
    ]


def proof_names(settings: AuthSettings | None) -> Sequence[str]:
    """The names of the headers that a scheme sets, the one with the proof first."""
    if settings is None:
        return ()
    if settings.scheme == "standard-webhooks":
        return ("webhook-signature",)
    if settings.scheme.startswith("hmac-"):
        names = (settings.header, settings.timestamp_header, settings.id_header)
        return tuple(name for name in names if name is not None)
    return ("Authorization",)


def _content(event: Event) -> Pairs:
    """What the event's sender said of its body, as far as it can be said again."""
    sent = (
        ("Content-Type", event.content_type),
        # Several lines of it mean the same as one list (RFC 9110, 5.3).
        ("Content-Encoding", ", ".join(event.headers.get_all("content-encoding")) or None),
    )
    return [(name, wire) for name, value in sent if (wire := _same_on_the_wire(value)) is not None]


def _same_on_the_wire(value: str | None) -> str | None:
    """The text whose UTF-8, which is what the library writes, is this header's original bytes.

    None where there is none: the bytes are not UTF-8, or they would break the header.
    """
    if value is None or UNSENDABLE.search(value):
        return None
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
