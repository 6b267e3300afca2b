"""Unknown sources: asking for a name that is not configured costs and says the same as a wrong signature.

It does everything that one of the configured sources does, with its secrets, over the same bytes, under the
same limits, and then refuses. Which source is imitated for a name depends on the name alone and on chance once per
process: so a name that was guessed right behaves as any other name might.
"""

import hashlib
from collections.abc import Callable, Iterable

from longstop.model.errors import IngestError, VerificationError
from longstop.model.event import Headers, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.ports import Source
from longstop.sources.dialect import NOT_VERIFIED


class UnknownSource:
    """Works as `model` does, and refuses everything."""

    def __init__(self, model: Source) -> None:
        self._model = model
        self.name = ""
        self.kind = model.kind
        self.dedup_window_ms = model.dedup_window_ms
        self.rate_per_s: float | None = None
        self.retry_after_max_s = model.retry_after_max_s
        self.answer_within_s = model.answer_within_s
        self.credential_headers = model.credential_headers

    def methods(self, path: str) -> frozenset[str]:
        """The model's."""
        return self._model.methods(path)

    def body_bytes_max(self, path: str) -> int:
        """The model's."""
        return self._model.body_bytes_max(path)

    def bears_proof(self, headers: Headers) -> bool:
        """The model's."""
        return self._model.bears_proof(headers)

    def handshake(self, request: Request, now_ms: int) -> Answer | None:
        """None, and VerificationError where the model would have answered."""
        if self._model.handshake(request, now_ms) is not None:
            raise VerificationError(NOT_VERIFIED)
        return None

    def is_light(self, _request: Request) -> bool:
        """Never asked: nothing is verified."""
        return True

    def verify(self, request: Request, now_ms: int) -> None:
        """Raise what the model raises, or else VerificationError."""
        self._model.verify(request, now_ms)
        raise VerificationError(NOT_VERIFIED)

    def read(self, _request: Request) -> Reading:
        """Never reached: nothing is verified."""
        raise VerificationError(NOT_VERIFIED)

    def answer(self, _receipt: Receipt) -> Answer:
        """Never reached: nothing is kept."""
        raise VerificationError(NOT_VERIFIED)


def admits_anybody(source: Source) -> bool:
    """Whether a request without any proof passes. Such a source hides from nobody, and is no model for a refusal."""
    try:
        source.verify(Request(Headers(), b""), 0)
    except IngestError:
        return False
    return True


def unknown_sources_like(models: Iterable[Source], key: bytes) -> Callable[[str], Source]:
    """What answers for an unknown name. `key` is random, so that nobody can tell which model a name has."""
    made = tuple(UnknownSource(each) for each in models)

    def stand_in(name: str) -> Source:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
        return made[int.from_bytes(digest) % len(made)]

    return stand_in
