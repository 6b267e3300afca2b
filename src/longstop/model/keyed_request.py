"""Requests with an Idempotency-Key: asked once more with the same key, they are not carried out once more.

A request is kept as under way *before* it is carried out, and its answer after. So whoever ends in between leaves one
behind that is under way for good: it is not known how far it came, and nobody carries it out a second time.
"""

from dataclasses import dataclass, field

from longstop.model.value import value

KEPT_FOR_MS = 86_400_000
"""How long a key is remembered: a day."""
KEY_CHARS_MAX = 200
"""Characters of a key."""


@value(frozen=True, slots=True)
class KeptAnswer:
    """What a request was answered."""

    status: int
    body: bytes = field(repr=False)
    """JSON; nothing where the status says it all."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that came with a key, one of its caller's own."""

    by: str
    key: str
    fingerprint: bytes = field(repr=False)
    """Of all that the request asks for: another one under the same key is a mistake."""
    began_at_ms: int
    expires_at_ms: int
    """From then on the key is free again."""
    answer: KeptAnswer | None = None
    """None: it is under way, or whoever carried it out ended before it was done."""
