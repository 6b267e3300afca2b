"""Where senders post to, and a command that posts a first event: for whoever has just started, and sees nothing yet."""

import shlex

from longstop.model.settings import SourceSettings

EXAMPLE_BODY = '{"id": "1", "type": "Text", "conversationId": "c-1", "text": "Hello"}'
"""A body that the starter's source reads whole: dedup key, type and key."""


def reachable(url: str) -> str:
    """A server's URL as a client on this machine can use it: "any address" is no address to connect to."""
    return url.replace("://0.0.0.0", "://127.0.0.1").replace("://[::]", "://[::1]")


def webhook_url(source: SourceSettings, url: str) -> str:
    """Where its sender posts to: what is configured as its public URL, else on the gateway that listens on `url`."""
    return source.public_url or f"{reachable(url)}/webhooks/{source.name}"


def first_event(source: SourceSettings, url: str) -> str:
    """A command that posts an event to it: by curl where nothing is verified, else signed as its sender would."""
    if source.kind != "generic" or source.verify is None or source.verify.scheme != "none":
        return f"longstop send {shlex.quote(source.name)} FILE"
    to = shlex.quote(f"{reachable(url)}/webhooks/{source.name}")
    return f"curl -i {to} -H 'Content-Type: application/json' -d {shlex.quote(EXAMPLE_BODY)}"
