"""Senders, as the services see them."""

from collections.abc import Mapping
from typing import Protocol

from longstop.model.event import Headers, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.routing import Target


class Source(Protocol):
    """A configured sender: how its requests are verified, read and answered."""

    name: str
    kind: str
    dedup_window_ms: int
    rate_per_s: float | None
    retry_after_max_s: int
    """The longest Retry-After that its own retry rules make sensible."""
    answer_within_s: float
    """A store that takes longer is answered for with 503, before the sender has given up waiting."""
    credential_headers: frozenset[bytes]
    """The names, in lower case, of the headers whose values are not kept: they would prove other requests too."""

    def methods(self, path: str) -> frozenset[str]:
        """The HTTP methods that are served at this path below the source's name; none: there is no such path."""

    def body_bytes_max(self, path: str) -> int:
        """How many bytes the body of a request at this path below the source's name may have."""

    def bears_proof(self, headers: Headers) -> bool:
        """Whether a head has what the sender's own requests have, a signature or a credential, right or wrong.

        Asked before the body is there: where room is scarce, those who show nothing at all give way first.
        """

    def handshake(self, request: Request, now_ms: int) -> Answer | None:
        """The answer to a request that asks for one and carries no event (a token, a challenge); else None.

        Raises VerificationError where it must prove itself for that and does not. Nothing is parsed before that, unless
        the proof itself is in the body, which is small then.
        """

    def is_light(self, request: Request) -> bool:
        """Whether reading this request takes a few milliseconds at most, by what costs next to nothing to find out."""

    def verify(self, request: Request, now_ms: int) -> None:
        """Return if the request is the sender's own; raise VerificationError otherwise. Compares in constant time."""

    def read(self, request: Request) -> Reading:
        """What the request says. Raises MalformedError where it cannot be told."""

    def answer(self, receipt: Receipt) -> Answer:
        """The receipt in the sender's dialect."""


Read = tuple[Reading, Mapping[str, Target]]
"""What a request says, and the destinations that its source's routes name for it: see `Router.destinations`."""


class Reader(Protocol):
    """Reads what is too much for the event loop, somewhere else."""

    async def read(self, source: str, request: Request, patience_s: float) -> Read:
        """What a request of the source says, without the document, and where it goes.

        Raises MalformedError where it cannot be told, or not in reasonable time and memory, BodyTooLargeError, and
        UnavailableError where reading is not possible now.
        """

    async def close(self) -> None:
        """Let go of processes."""
