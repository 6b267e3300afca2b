"""Answers on the wire: errors as problem+json (RFC 9457), and any answer as the messages of ASGI."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from longstop.edges.senders_http.body_limits import CrowdedError, Message
from longstop.model.errors import (
    BodyTooLargeError,
    HeadersTooLargeError,
    IngestError,
    LengthRequiredError,
    QuarantinedError,
    RateError,
    SlowBodyError,
    UnavailableError,
)
from longstop.model.exchange import Answer

Send = Callable[[Message], Awaitable[None]]


_BODY_UNREAD = (BodyTooLargeError, HeadersTooLargeError, LengthRequiredError, SlowBodyError, CrowdedError)


def problem(error: IngestError) -> Answer:
    """What a sender is told of an error."""
    said: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
    }
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, QuarantinedError):
        said["id"] = error.event_id
    if isinstance(error, (UnavailableError, RateError)):
        headers = (("retry-after", str(error.retry_after_s)),)
    if isinstance(error, _BODY_UNREAD):
        # What follows is no request.
        headers = (*headers, ("connection", "close"))
    return Answer(error.status, msgspec.json.encode(said), "application/problem+json", headers)


def plain_problem(status: int, title: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A problem that needs no explanation."""
    said = {"type": "about:blank", "title": title, "status": status}
    return Answer(status, msgspec.json.encode(said), "application/problem+json", headers)


async def respond(send: Send, answer: Answer) -> None:
    """Send an answer as ASGI has it."""
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode("latin-1"), text.encode("latin-1")) for name, text in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
