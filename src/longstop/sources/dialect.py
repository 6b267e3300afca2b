"""What all sources share. A dialect is this class with the few functions that set its sender apart.

To add a sender, write a module with one function `build(settings) -> Source` that hands its own scheme and
readings to `Dialect`, and name it in `KINDS`. A sender that wants an answer of its own passes `answer`;
one whose proof is none of `verification`'s schemes passes a `verifier`.
"""

from collections.abc import Callable
from typing import Any

from longstop.model.credentials import credential_headers
from longstop.model.encoding import in_utf8, inflated
from longstop.model.errors import VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import ANSWER_WITHIN_S, Answer, Reading, Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import proof_headers
from longstop.sources.allow_list import AllowList, MediaTypes
from longstop.sources.challenge import NO_HANDSHAKE, Handshake, handshake_of
from longstop.sources.document_size import is_light
from longstop.sources.reading import compile_selector
from longstop.sources.verification import Verifier, build_verifier

Parse = Callable[[bytes], Any]
"""The raw body to the document that routes decide on. Raises MalformedError where the dialect cannot do without."""
ReadText = Callable[[Request, Any], str | None]
"""The event's type or key, from the request and the document."""
ReadDedup = Callable[[Request, Any], bytes | None]
"""The dedup key. Raises MalformedError where it is ambiguous."""
ReadTime = Callable[[Request, Any], int | None]
"""When the event happened, in Unix milliseconds, by the sender's own account."""

RETRY_AFTER_MAX_S = 60
"""The longest Retry-After for a sender of whose retries nothing is known; a dialect that knows more passes its own."""

TRACE_CHARS_MAX = 200
"""So much of a header goes into the log."""

_POST = frozenset({"POST"})
_GET_AND_POST = frozenset({"GET", "POST"})
_NONE: frozenset[str] = frozenset()
NOT_VERIFIED = (
    "The request is not proven to come from the sender: its signature or credential is missing or wrong. "
    "Check the secret and the header on both sides."
)


def nothing(_request: Request, _document: Any) -> None:
    """A reading that finds nothing: for dialects without such a thing."""
    return


_ANSWERS = {status: b'{"status":"%b","id":"%%b"}' % status.value.encode() for status in ReceiptStatus}


def standard_answer(receipt: Receipt) -> Answer:
    """200 and `{"status": "accepted" | "duplicate", "id": …}`."""
    return Answer(200, _ANSWERS[receipt.status] % receipt.event_id.encode())


class Dialect:
    """A source, made of the parts in which senders differ.

    `scheme` (or a `verifier` that is none of the schemes), `dedup`, `type` and `key` are the dialect's own; what
    the settings say goes before them.
    Raises ConfigurationError where the settings cannot be used.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        scheme: VerifySettings = VerifySettings(),  # noqa: B008 - frozen
        verifier: Verifier | None = None,
        parse: Parse,
        dedup: ReadDedup = nothing,
        type: ReadText = nothing,
        key: ReadText = nothing,
        occurred: ReadTime = nothing,
        answer: Callable[[Receipt], Answer] = standard_answer,
        handshake: Handshake = NO_HANDSHAKE,
        retry_after_max_s: int = RETRY_AFTER_MAX_S,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.max_body_bytes = settings.body_bytes_max
        self.dedup_window_ms = settings.dedup_window_ms
        self.rate_per_s = settings.rate_per_s
        self.retry_after_max_s = retry_after_max_s
        self.answer_within_s = answer_within_s
        if verifier is None or settings.verify is not None:
            verifier = build_verifier(settings.verify or scheme, settings.secrets, settings.name, settings.tolerance_ms)
        self._verifier = verifier
        self._parse = parse
        place = f"sources.{settings.name}"
        self._dedup = compile_selector(settings.dedup, f"{place}.dedup").dedup if settings.dedup is not None else dedup
        self._type = compile_selector(settings.type, f"{place}.type").text if settings.type is not None else type
        self._key = compile_selector(settings.key, f"{place}.key").text if settings.key is not None else key
        self._occurred = occurred
        self._answer = answer
        self._handshake = handshake_of(settings.challenge) if settings.challenge is not None else handshake
        asked_by_get = settings.challenge is not None and settings.challenge.query is not None
        self._methods = _GET_AND_POST if asked_by_get else _POST
        self._allow = AllowList(settings.allow)
        self._media_types = MediaTypes(settings.content_types)
        self._required_headers = settings.required_headers
        self.credential_headers = credential_headers(settings)
        self._proof_headers = proof_headers(settings)
        untold = {name.lower().encode() for name in self._proof_headers} | self.credential_headers
        self._traced = tuple(name for name in settings.required_headers if name.lower().encode() not in untold)

    def methods(self, path: str) -> frozenset[str]:
        """POST at the source itself, GET where it is asked for a challenge so, and nothing below it."""
        return self._methods if path in ("", "/") else _NONE

    def body_bytes_max(self, _path: str) -> int:
        """How many bytes the body of a request may have, as sent and unpacked."""
        return self.max_body_bytes

    def bears_proof(self, headers: Headers) -> bool:
        """Whether a head has one of the headers by which this sender proves itself; where it has none, always."""
        return not self._proof_headers or any(name in headers for name in self._proof_headers)

    def handshake(self, request: Request, now_ms: int) -> Answer | None:
        """The answer to a challenge, or None for a request that carries an event.

        By POST the challenge is proven as events are, before it is parsed, or VerificationError is raised. By GET there
        is nothing to prove it with, and nothing but a challenge is taken.
        """
        if request.method == "POST":
            if not self._handshake.may_be_asked(request.body):
                return None
            self.verify(request, now_ms)
            return self._handshake.answer(request)
        answer = self._handshake.answer(request)
        self._allow.check(request.client)
        if answer is None:
            raise VerificationError(NOT_VERIFIED)
        return answer

    def is_light(self, request: Request) -> bool:
        """Whether reading this request takes a few milliseconds at most."""
        return is_light(request)

    def verify(self, request: Request, now_ms: int) -> None:
        """Return if the request is the sender's own; raise VerificationError, always the same, otherwise.

        Raises AddressError for one that is proven and comes from elsewhere: only who knows the secret learns of it.
        """
        admitted = self._verifier.admits(request, now_ms)
        for name in self._required_headers:
            admitted = admitted and name in request.headers
        if not admitted:
            raise VerificationError(NOT_VERIFIED)
        self._allow.check(request.client)

    def read(self, request: Request) -> Reading:
        """What the request says. Raises MalformedError where it cannot be told, BodyTooLargeError for bombs."""
        self._media_types.check(request.headers)
        trace = self._trace(request.headers) if self._traced else ()
        request = self.unpacked(request)
        document = self._parse(request.body)
        return Reading(
            document,
            type=self._type(request, document),
            key=self._key(request, document),
            dedup=self._dedup(request, document),
            occurred_at_ms=self._occurred(request, document),
            trace=trace,
        )

    def _trace(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        return tuple((name, (headers.get(name) or "")[:TRACE_CHARS_MAX]) for name in self._traced)

    def unpacked(self, request: Request) -> Request:
        """The request with what its body means. Raises MalformedError where it cannot be told, BodyTooLargeError."""
        return in_utf8(inflated(request, self.max_body_bytes))

    def answer(self, receipt: Receipt) -> Answer:
        """The receipt in the sender's dialect."""
        return self._answer(receipt)
