"""What every answer of the operators' port says to browsers: it is data, for this origin alone, and may do nothing.

An answer that says something of its own keeps it: the console's page says which scripts are its own.
"""

from longstop.edges.senders_http.answers import Send
from longstop.edges.senders_http.body_limits import Message

HEADERS = (
    # A payload that is opened as a page is a page that loads nothing, runs nothing and is in nobody's frame.
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)


def secured(send: Send) -> Send:
    """`send`, with what is missing of these headers added."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            said = list(message.get("headers", ()))
            names = {name.lower() for name, _ in said}
            message = {**message, "headers": [*said, *(pair for pair in HEADERS if pair[0] not in names)]}
        await send(message)

    return sending
