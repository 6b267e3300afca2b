"""Challenges: a sender asks whether this is the right place, is answered with what it sent, and nothing is kept.

By GET the challenge is a parameter of the query, and the answer is its text: WebSub, and what the social networks
make of it. By POST it is a member of a JSON object, and the answer is that member alone.
"""

from collections.abc import Callable
from typing import Any, TypeGuard
from urllib.parse import parse_qs

import msgspec

from longstop.model.exchange import Answer, Request
from longstop.model.settings import ChallengeSettings
from longstop.sources.reading import parse_leniently

Handshake = Callable[[Request], Answer | None]
"""The answer to a request that carries no event, or None. It need not prove the request."""

CHALLENGE_CHARS_MAX = 1024
"""A longer one is nobody's challenge; the gateway is no mirror for whatever is sent."""
_BESIDE = frozenset({"type", "token"})
"""What may stand beside a challenge. With anything else, the body may be an event, which must not be swallowed."""
# What comes back is chosen by whoever asks: no browser may take it for a page.
_INERT = (("x-content-type-options", "nosniff"),)


def no_handshake(_request: Request) -> None:
    """None: every request carries an event."""
    return


def handshake_of(settings: ChallengeSettings) -> Handshake:
    """The handshake that the settings describe."""
    if settings.query is not None:
        return query_challenge(settings.query)
    return field_challenge(settings.field or "challenge")


def query_challenge(name: str) -> Handshake:
    """GET: the value of the query's parameter comes back as text."""

    def answer(request: Request) -> Answer | None:
        values = parse_qs(request.query, errors="replace").get(name, []) if request.method == "GET" else []
        return text_answer(values[0]) if len(values) == 1 and is_challenge(values[0]) else None

    return answer


def field_challenge(name: str) -> Handshake:
    """POST: an object of the member, with `type` and `token` at most, comes back as `{name: value}`."""
    quoted = name.encode()

    def answer(request: Request) -> Answer | None:
        # Most bodies are events: none of them is parsed twice for the few that are challenges.
        if len(request.body) > 4 * CHALLENGE_CHARS_MAX or quoted not in request.body:
            return None
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
