"""What all sources share. A dialect is this class with the few functions that set its sender apart.

To add a sender, write a module with one function `build(settings) -> Source` that hands its own scheme and
readings to `Dialect`, and name it in `KINDS`. A sender that wants an answer of its own passes `answer`;
one whose proof is none of `verification`'s schemes passes a `verifier`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from longstop.model.errors import VerificationError
from longstop.model.event import Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.sources.reading import compile_selector
from longstop.sources.verification import Verifier, build_verifier

Parse = Callable[[bytes], Any]
"""The raw body to the document that routes decide on. Raises MalformedError where the dialect cannot do without."""
ReadText = Callable[[Request, Any], str | None]
"""The event's type or key, from the request and the document."""
ReadDedup = Callable[[Request, Any], bytes | None]
"""The dedup key. Raises MalformedError where it is ambiguous."""

_POST = frozenset({"POST"})
_NONE: frozenset[str] = frozenset()
_NOT_VERIFIED = (
    "The request is not proven to come from the sender: its signature or credential is missing or wrong. "
    "Check the secret and the header on both sides."
)


def nothing(_request: Request, _document: Any) -> None:
    """A reading that finds nothing: for dialects without such a thing."""
    return


def standard_answer(receipt: Receipt) -> Answer:
    """200 and `{"status": "accepted" | "duplicate", "id": …}`."""
    return Answer(200, msgspec.json.encode({"status": receipt.status.value, "id": receipt.event_id}))


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
        answer: Callable[[Receipt], Answer] = standard_answer,
    ) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.max_body_bytes = settings.max_body_bytes
        self.dedup_window_ms = settings.dedup_window_ms
        if verifier is None or settings.verify is not None:
            verifier = build_verifier(settings.verify or scheme, settings.secrets, settings.name)
        self._verifier = verifier
        self._parse = parse
        place = f"sources.{settings.name}"
        self._dedup = compile_selector(settings.dedup, f"{place}.dedup").dedup if settings.dedup is not None else dedup
        self._type = compile_selector(settings.type, f"{place}.type").text if settings.type is not None else type
        self._key = compile_selector(settings.key, f"{place}.key").text if settings.key is not None else key
        self._answer = answer

    def methods(self, path: str) -> frozenset[str]:
        """POST at the source itself, and nothing below it."""
        return _POST if path in ("", "/") else _NONE

    def handshake(self, _request: Request, _now_ms: int) -> Answer | None:
        """None: every request carries an event."""
        return None

    def verify(self, request: Request, now_ms: int) -> None:
        """Return if the request is the sender's own; raise VerificationError, always the same, otherwise."""
        if not self._verifier.admits(request, now_ms):
            raise VerificationError(_NOT_VERIFIED)

    def read(self, request: Request) -> Reading:
        """What the request says. Raises MalformedError where it cannot be told."""
        document = self._parse(request.body)
        return Reading(
            document,
            type=self._type(request, document),
            key=self._key(request, document),
            dedup=self._dedup(request, document),
        )

    def answer(self, receipt: Receipt) -> Answer:
        """The receipt in the sender's dialect."""
        return self._answer(receipt)
