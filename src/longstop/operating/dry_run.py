"""A dry run: what would become of a captured request, and why, without keeping anything.

A source says no more than yes or no, and to a stranger that is all there is to say. Here the one who asks knows the
configuration, so the request is looked at and, where it is refused, tried again with one thing changed at a time: the
change that makes it pass is what is wrong with it. No message holds a secret or a signature.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from longstop.model.errors import AddressError, BodyTooLargeError, IngestError, MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.routing import Router
from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers, scheme_of
from longstop.ports import Source

_UNIX_SECONDS = re.compile(r"(?<![0-9A-Za-z])[0-9]{9,11}(?![0-9A-Za-z])")
_RECEIPT = Receipt(ReceiptStatus.ACCEPTED, "00000000-0000-7000-8000-000000000000")


class Verdict(StrEnum):
    """What would become of it."""

    ACCEPTED = "accepted"
    ANSWERED = "answered"
    """It asks for an answer (a challenge, a token) and carries no event."""
    QUARANTINED = "quarantined"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would become of one request. `status` is the HTTP status of the answer."""

    verdict: Verdict
    status: int
    problems: tuple[str, ...] = ()
    """Why it would not be accepted, in words."""
    type: str | None = None
    key: str | None = None
    dedup: bytes | None = None
    """None: it would never be a duplicate."""
    occurred_at_ms: int | None = None
    """None: the sender tells no time."""
    destinations: tuple[str, ...] = ()
    """None of them: it would be kept as unrouted."""


def dry_run(settings: SourceSettings, source: Source, router: Router, request: Request, now_ms: int) -> DryRun:
    """What would become of the request if it came at `now_ms`. `settings` are those that the source was built from."""
    refusal = _at_the_door(source, request)
    if refusal is not None:
        return refusal
    try:
        answer = source.handshake(request, now_ms)
        if answer is not None:
            return DryRun(Verdict.ANSWERED, answer.status)
        source.verify(request, now_ms)
        reading = source.read(request)
    except VerificationError as error:
        return _refused(error, *why_not_verified(settings, source, request, now_ms))
    except AddressError as error:
        return _refused(
            error, f"the address it came from, {request.client or 'not known'}, is in no network of `allow`"
        )
    except MalformedError as error:
        return DryRun(Verdict.QUARANTINED, error.status, (str(error),))
    except IngestError as error:
        return _refused(error, str(error))
    destinations = tuple(router.destinations(source.name, reading.document))
    status = source.answer(_RECEIPT).status
    return DryRun(
        Verdict.ACCEPTED,
        status,
        type=reading.type,
        key=reading.key,
        dedup=reading.dedup,
        occurred_at_ms=reading.occurred_at_ms,
        destinations=destinations,
    )


def _refused(error: IngestError, *problems: str) -> DryRun:
    return DryRun(Verdict.REFUSED, error.status, problems)


def _at_the_door(source: Source, request: Request) -> DryRun | None:
    """What is refused before a source is asked."""
    methods = source.methods(request.path)
    if not methods:
        return DryRun(Verdict.REFUSED, 404, (f"the source has no path {request.path!r} below its own",))
    if request.method not in methods:
        problem = f"found the method {request.method}; expected {' or '.join(sorted(methods))}"
        return DryRun(Verdict.REFUSED, 405, (problem,))
    if len(request.body) > source.max_body_bytes:
        problem = f"the body is {len(request.body)} bytes; the source's `max_body` is {source.max_body_bytes}"
        return DryRun(Verdict.REFUSED, BodyTooLargeError.status, (problem,))
    return None


# -- why not ------------------------------------------------------------------------------------


def why_not_verified(settings: SourceSettings, source: Source, request: Request, now_ms: int) -> list[str]:
    """What is wrong with a request that is not verified, each thing in words."""
    if request.method != "POST":
        return ["it asks for no challenge that the source answers by GET"]
    required = [name for name in settings.required_headers if name not in request.headers]
    problems = [f"header {name} is missing, and `required_headers` names it" for name in required]
    # With those put in, what else is wrong shows.
    request = _with_headers(request, [(name, "-") for name in required])
    if _verifies(source, request, now_ms):
        return problems
    return [*problems, *_proof_problems(settings, source, request, now_ms)]


def _proof_problems(settings: SourceSettings, source: Source, request: Request, now_ms: int) -> list[str]:
    names = proof_headers(settings)
    counts = {name: len(request.headers.get_all(name)) for name in names}
    problems = [f"header {name} is missing" for name, count in counts.items() if count == 0]
    problems += [f"header {name} comes {count} times; expected once" for name, count in counts.items() if count > 1]
    return problems or _mismatch(settings, source, request, now_ms)


def _mismatch(settings: SourceSettings, source: Source, request: Request, now_ms: int) -> list[str]:
    names = proof_headers(settings)
    for hint, changed in _changes(settings, request):
        for at_ms in (now_ms, *_signed_times(request, names)):
            if _verifies(source, changed, at_ms):
                return [text for text in (_time_off(at_ms, now_ms), hint) if text]
    count = len(settings.secrets)
    secrets = "the secret" if count == 1 else f"any of the {count} secrets"
    problem = f"what header {' and '.join(names)} proves does not fit {secrets} and this body"
    return [problem, *_advice(settings)]


def _advice(settings: SourceSettings) -> list[str]:
    if settings.kind == "twilio" and settings.verify is None:
        return ["Twilio signs the URL too: `public_url` has to be what stands in its console, letter by letter"]
    scheme = scheme_of(settings)
    if scheme is not None and not scheme.scheme.startswith("hmac-"):
        return ["compare the secret on both sides"]
    return ["compare the secret on both sides; was the body captured as it came, before anything parsed it?"]


def _time_off(at_ms: int, now_ms: int) -> str:
    if at_ms == now_ms:
        return ""
    seconds = (now_ms - at_ms) // 1000
    when = "in the past" if seconds > 0 else "in the future"
    return f"the signature is right, and its time is {abs(seconds)} s {when}; with --at it is judged at another time"


def _signed_times(request: Request, names: tuple[str, ...]) -> list[int]:
    """Milliseconds since the epoch, of whatever looks like Unix seconds in the headers of the proof."""
    texts = [value for name in names for value in request.headers.get_all(name)]
    return [int(found) * 1000 for text in texts for found in _UNIX_SECONDS.findall(text)]


def _verifies(source: Source, request: Request, now_ms: int) -> bool:
    try:
        source.verify(request, now_ms)
    except VerificationError:
        return False
    except AddressError:
        return True
    return True


# -- one thing changed --------------------------------------------------------------------------


def _changes(settings: SourceSettings, request: Request) -> Iterator[tuple[str, Request]]:
    """The request as it is, then with one thing changed; each with what is wrong if it passes so."""
    yield "", request
    for what, body in _bodies(request.body):
        if body != request.body:
            yield f"the signature is right if {what}", replace(request, body=body)
    for name in proof_headers(settings):
        value = request.headers.get(name) or ""
        for what, other in _values(settings, value):
            if other != value:
                yield f"header {name} is right, but {what}", _with_header(request, name, other)


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "the body's trailing newline is removed", body.rstrip(b"\r\n")
    yield "a newline is added at the body's end", body + b"\n"
    yield "the body's CR LF are LF", body.replace(b"\r\n", b"\n")
    yield "the body's LF are CR LF", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "the byte order mark at the body's start is removed", body.removeprefix(b"\xef\xbb\xbf")
    try:
        document = json.loads(body)
        yield "the body is JSON without spaces: it was written anew", _compact(document, ensure_ascii=False)
        yield "the body is JSON in ASCII without spaces: it was written anew", _compact(document, ensure_ascii=True)
    except (ValueError, RecursionError):
        return


def _compact(document: object, *, ensure_ascii: bool) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=ensure_ascii).encode()


def _values(settings: SourceSettings, value: str) -> Iterator[tuple[str, str]]:
    scheme = scheme_of(settings)
    prefix = scheme.prefix if scheme is not None else ""
    start, bare = (prefix, value[len(prefix) :]) if prefix and value.startswith(prefix) else ("", value)
    yield "stands in quotation marks", value.strip("\"'")
    yield f"lacks {prefix} at its start", prefix + value
    yield "has something before it that the source does not expect", bare.partition("=")[2] or bare
    yield "is hex where base64 is expected", start + (_base64_of_hex(bare) or bare)
    yield "is base64 where hex is expected", start + (_hex_of_base64(bare) or bare)
    if scheme is not None and scheme.scheme in ("bearer", "basic"):
        yield f"lacks {scheme.scheme.capitalize()} at its start", f"{scheme.scheme} {value}"


def _base64_of_hex(text: str) -> str | None:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return None


def _hex_of_base64(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).hex()
    except (ValueError, binascii.Error):
        return None


def _with_header(request: Request, name: str, value: str) -> Request:
    others = [(key, kept) for key, kept in request.headers if key.lower() != name.lower()]
    return replace(request, headers=Headers([*others, (name, value)]))


def _with_headers(request: Request, pairs: list[tuple[str, str]]) -> Request:
    return replace(request, headers=Headers([*request.headers, *pairs])) if pairs else request
