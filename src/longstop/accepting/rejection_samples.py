"""From a request that was refused to a sample of it: what is wrong with it in words, and no credential in it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from longstop.model.credentials import (
    NOT_KEPT,
    credential_headers,
    query_without_credentials,
    shown_headers,
    shows_secret,
    without_credentials,
)
from longstop.model.diagnosis import why_not_verified
from longstop.model.errors import AddressError, IngestError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.rejection import UNKNOWN, Rejection, RejectionReason
from longstop.model.settings import SourceSettings
from longstop.model.signing import bears_proof, proof_headers
from longstop.ports import Source

ASKED_CHARS_MAX = 63
"""So much of a name that is not configured is looked at; a name can be no longer."""
PATH_CHARS_MAX = 200
CLIENT_CHARS_MAX = 64
HEADER_BYTES_MAX = 8 * 1024
"""So much of the headers is kept."""
SOURCES_TRIED_MAX = 32
"""Of so many sources it is tried whether a request to an unknown name is one of theirs."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was refused and is not looked into yet. `body_bytes` is of all of its body, which may be gone."""

    id: str
    at_ms: int
    asked: str
    reason: RejectionReason
    status: int
    request: Request
    body_bytes: int
    whole: bool


class SampleMaker:
    """Looks into refused requests. settings, sources: those that are configured, by name."""

    def __init__(self, settings: Mapping[str, SourceSettings], sources: Mapping[str, Source]) -> None:
        self._settings = settings
        self._sources = sources
        self._hidden = frozenset[bytes]().union(*(credential_headers(each) for each in settings.values()))
        self._harmless = frozenset[bytes]().union(*(shown_headers(each) for each in settings.values()))
        self._secrets = tuple({secret for each in settings.values() for secret in each.secrets})

    def sample(self, refused: Refused) -> Rejection:
        """The sample of a refused request. Tries it with one thing changed at a time, so it takes milliseconds."""
        settings = self._settings.get(refused.asked)
        nearest = None if settings is not None else self._nearest(refused)
        keeps_body = self._keeps_body(settings, refused)
        request = self._without_credentials(refused.request)
        return Rejection(
            id=refused.id,
            source=UNKNOWN if settings is None else settings.name,
            at_ms=refused.at_ms,
            reason=refused.reason,
            status=refused.status,
            problems=tuple(self._problems(settings, refused)),
            request=request if keeps_body else replace(request, body=b""),
            body_bytes=refused.body_bytes,
            body_kept=keeps_body,
            asked=self._shown(refused.asked, ASKED_CHARS_MAX) or None if settings is None else None,
            nearest=nearest,
        )

    def may_be_a_sender(self, sample: Rejection) -> bool:
        """Whether what was asked for is like a source's name, or what is shown is what one of them is proven by."""
        return sample.nearest is not None or any(
            name in sample.request.headers for each in self._settings.values() for name in proof_headers(each)
        )

    # -- what is wrong -------------------------------------------------------------------------------

    def _problems(self, settings: SourceSettings | None, refused: Refused) -> list[str]:
        if settings is None:
            return self._of_unknown(refused)
        if refused.reason in (RejectionReason.NO_PROOF, RejectionReason.WRONG_PROOF):
            return self._of_proof(settings, refused)
        return [self._in_words(settings, refused)]

    def _of_proof(self, settings: SourceSettings, refused: Refused) -> list[str]:
        if refused.body_bytes > len(refused.request.body):
            return [f"its proof does not fit; a body of {refused.body_bytes} bytes is not looked into any further"]
        verifies = partial(_verifies, self._sources[settings.name])
        return why_not_verified(settings, verifies, refused.request, refused.at_ms)

    def _of_unknown(self, refused: Refused) -> list[str]:
        if not refused.asked:
            path = self._shown(refused.request.path, PATH_CHARS_MAX)
            return [f"there is nothing at {path}; senders post to /webhooks/NAME"]
        problems = ["no source has this name"]
        owner = self._owner(refused) if refused.whole else None
        return [*problems, f"it is proven as requests to {owner} are"] if owner else problems

    def _owner(self, refused: Refused) -> str | None:
        """The source whose own request it is, by its proof."""
        if refused.body_bytes > len(refused.request.body):
            return None
        for name, source in list(self._sources.items())[:SOURCES_TRIED_MAX]:
            shows_proof = bears_proof(self._settings[name], refused.request.headers)
            if shows_proof and _verifies(source, refused.request, refused.at_ms):
                return name
        return None

    def _nearest(self, refused: Refused) -> str | None:
        """The source whose name is nearest to what was asked for."""
        asked = refused.asked or refused.request.path.rstrip("/").rpartition("/")[2]
        found = difflib.get_close_matches(asked[:ASKED_CHARS_MAX].lower(), self._settings, n=1)
        return found[0] if found else None

    # -- what is kept of it --------------------------------------------------------------------------

    def _keeps_body(self, settings: SourceSettings | None, refused: Refused) -> bool:
        body = refused.request.body
        wanted = settings is not None and settings.keep_rejected_bodies and refused.whole
        return wanted and refused.body_bytes == len(body) and not shows_secret(body, self._secrets)

    def _without_credentials(self, request: Request) -> Request:
        headers = without_credentials(request.headers, self._hidden, self._harmless, self._secrets)
        return Request(
            _bounded(headers),
            request.body,
            self._shown(request.method, ASKED_CHARS_MAX),
            request.client and self._shown(request.client, CLIENT_CHARS_MAX),
            self._shown(request.path, PATH_CHARS_MAX),
            self._shown(query_without_credentials(request.query), PATH_CHARS_MAX),
        )

    def _shown(self, text: str, chars_max: int) -> str:
        """The beginning of what a stranger wrote, as text that every store can keep; nothing that holds a secret."""
        if any(secret in text for secret in self._secrets if secret):
            return NOT_KEPT
        # Half of a surrogate pair is no text.
        return text[:chars_max].encode("utf-8", "replace").decode()

    def _in_words(self, settings: SourceSettings, refused: Refused) -> str:
        match refused.reason:
            case RejectionReason.ADDRESS:
                client = self._shown(refused.request.client or "not known", CLIENT_CHARS_MAX)
                return f"it is proven, and the address it came from, {client}, is in no network of `allow`"
            case RejectionReason.PATH:
                return f"the source has no path {self._shown(refused.request.path, PATH_CHARS_MAX)} below its own"
            case RejectionReason.METHOD:
                return f"found the method {self._shown(refused.request.method, ASKED_CHARS_MAX)}; expected POST"
            case RejectionReason.TOO_LARGE:
                return f"the body is over the source's `max_body` of {settings.body_bytes_max} bytes"
            case RejectionReason.SLOW:
                return "its body did not come in time"
            case RejectionReason.LENGTH:
                return "it has neither Content-Length nor Transfer-Encoding"
            case RejectionReason.HEADERS:
                return "it has too many headers, or too many bytes of them"
        return f"it was answered {refused.status}"


def _verifies(source: Source, request: Request, now_ms: int) -> bool:
    try:
        source.verify(request, now_ms)
    except AddressError:
        return True
    except IngestError:
        return False
    return True


def _bounded(headers: Headers) -> Headers:
    """As many of the headers as are within HEADER_BYTES_MAX."""
    kept, size = [], 0
    for name, text in headers.raw:
        size += len(name) + len(text)
        if size > HEADER_BYTES_MAX:
            break
        kept.append((name, text))
    return Headers.from_wire(kept)
