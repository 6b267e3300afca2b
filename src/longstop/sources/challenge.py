"""Challenges: a sender asks whether this is the right place, is answered with what it sent, and nothing is kept.

By GET the challenge is a parameter of the query, and the answer is its text: WebSub, and what the social networks
make of it. By POST it is a member of a JSON object, and the answer is that member alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import parse_qs

import msgspec

from longstop.model.exchange import Answer, Request
from longstop.model.settings import ChallengeSettings
from longstop.sources.reading import parse_leniently

CHALLENGE_CHARS_MAX = 1024
"""A longer one is nobody's challenge; the gateway is no mirror for whatever is sent."""
ASKING_BYTES_MAX = 4 * CHALLENGE_CHARS_MAX
"""A longer body or query asks for nothing: what asks is small, and most of what comes are events."""
_BESIDE = frozenset({"type", "token"})
"""What may stand beside a challenge. With anything else, the body may be an event, which must not be swallowed."""
# What comes back is chosen by whoever asks: no browser may take it for a page.
_INERT = (("x-content-type-options", "nosniff"),)


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a sender asks whether this is the right place, and what it is told."""

    answer: Callable[[Request], Answer | None]
    """The answer to a request that asks, or None. It parses: by POST it is called for proven requests alone."""
    marker: bytes | None = None
    """What stands in the body of every request that asks by POST; None: nobody asks so."""

    def may_be_asked(self, body: bytes) -> bool:
        """Whether a posted body might ask, by what costs next to nothing: whoever sent it has proven nothing yet."""
        return self.marker is not None and len(body) <= ASKING_BYTES_MAX and self.marker in body


def _nothing(_request: Request) -> None:
    return


NO_HANDSHAKE = Handshake(_nothing)
"""Every request carries an event."""


def handshake_of(settings: ChallengeSettings) -> Handshake:
    """The handshake that the settings describe."""
    if settings.query is not None:
        return Handshake(query_challenge(settings.query))
    name = settings.field or "challenge"
    return Handshake(field_challenge(name), name.encode())


def query_challenge(name: str) -> Callable[[Request], Answer | None]:
    """GET: the value of the query's parameter comes back as text."""

    def answer(request: Request) -> Answer | None:
        if request.method != "GET" or len(request.query) > ASKING_BYTES_MAX:
            return None
        values = parse_qs(request.query, errors="replace").get(name, [])
        return text_answer(values[0]) if len(values) == 1 and is_challenge(values[0]) else None

    return answer


def field_challenge(name: str) -> Callable[[Request], Answer | None]:
    """POST: an object of the member, with `type` and `token` at most, comes back as `{name: value}`."""

    def answer(request: Request) -> Answer | None:
        document = parse_leniently(request.body)
        if not isinstance(document, dict) or not is_challenge(document.get(name)):
            return None
        return json_answer(name, document[name]) if set(document) <= _BESIDE | {name} else None

    return answer


def is_challenge(value: Any) -> TypeGuard[str]:
    """Whether a value is a text that can be sent back."""
    return isinstance(value, str) and 0 < len(value) <= CHALLENGE_CHARS_MAX


def text_answer(challenge: str) -> Answer:
    """The challenge as text."""
    return Answer(200, challenge.encode("utf-8", "replace"), "text/plain; charset=utf-8", _INERT)


def json_answer(name: str, challenge: str) -> Answer:
    """The challenge as the one member of an object."""
    return Answer(200, msgspec.json.encode({name: challenge}), headers=_INERT)
