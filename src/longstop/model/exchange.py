"""The sender's side of one HTTP exchange, free of any web framework: what came, what was read in it, what goes back."""

from dataclasses import field
from typing import Any

from longstop.model.event import Headers
from longstop.model.value import value

ANSWER_WITHIN_S = 3.5
"""A sender gets 503 when the store takes longer: half a second less than the 4 s promised."""


@value(frozen=True, slots=True)
class Request:
    """A webhook request after its body was read whole (within the source's limit)."""

    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    client: str | None = None
    """The sender's address, where the server told it; behind a trusted proxy, the one that the proxy tells."""
    path: str = ""
    """What follows the source's name in the path, with its slash; mostly nothing."""
    query: str = ""
    """The query string as sent, without the question mark."""


@value(frozen=True, slots=True)
class Reading:
    """What a source found in an authentic request."""

    document: Any = field(default=None, repr=False)
    """The parsed body, on which routes decide; None where the body is not a document."""
    type: str | None = None
    key: str | None = None
    dedup: bytes | None = None
    """Requests with an equal dedup key are one event; None: never a duplicate."""
    occurred_at_ms: int | None = None
    """The sender's own time of the event (Unix time); None where it tells none that can be read."""
    trace: tuple[tuple[str, str], ...] = ()
    """Headers by which the sender's side knows the request, for the log."""


@value(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
