"""Why a request is not verified: what is wrong with it, in words.

A source says no more than yes or no, and to a stranger that is all there is to say. Who runs the gateway knows the
configuration, so for him the request is tried again with one thing changed at a time: the change that makes it pass is
what is wrong with it. No message holds a secret or a signature.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import get_args

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import Scheme, SourceSettings
from longstop.model.signing import fill_content, proof_headers_in, proof_value, scheme_of

Verifies = Callable[[Request, int], bool]
"""Whether a request passes at a time (Unix time in milliseconds)."""

SIGNED_TIMES_MAX = 3
"""A stranger may write thousands of numbers into a header, and each is a time to judge by."""
HEADERS_TRIED_MAX = 40
"""Of so many headers it is tried whether they carry the proof that is missing."""

_UNIX_SECONDS = re.compile(r"(?<![0-9A-Za-z])[0-9]{9,11}(?![0-9A-Za-z])")
_HMAC = tuple(scheme for scheme in get_args(Scheme) if scheme.startswith("hmac-"))


def why_not_verified(settings: SourceSettings, verifies: Verifies, request: Request, now_ms: int) -> list[str]:
    """What is wrong with a request that is not verified, each thing in words."""
    if request.method != "POST":
        return ["it asks for no challenge that the source answers by GET"]
    required = [name for name in settings.required_headers if name not in request.headers]
    problems = [f"header {name} is missing, and `required_headers` names it" for name in required]
    # With those put in, what else is wrong shows.
    request = _with_headers(request, [(name, "-") for name in required])
    if verifies(request, now_ms):
        return problems
    return [*problems, *_proof_problems(settings, verifies, request, now_ms)]


def _proof_problems(settings: SourceSettings, verifies: Verifies, request: Request, now_ms: int) -> list[str]:
    names = proof_headers_in(settings, request.headers)
    counts = {name: len(request.headers.get_all(name)) for name in names}
    missing = [name for name, count in counts.items() if count == 0]
    if len(missing) == 1 and (elsewhere := _proof_elsewhere(missing[0], verifies, request, now_ms)):
        return [f"header {missing[0]} is missing; what it should carry is in header {elsewhere}"]
    problems = [f"header {name} is missing" for name in missing]
    problems += [f"header {name} comes {count} times; expected once" for name, count in counts.items() if count > 1]
    return problems or _mismatch(settings, verifies, request, now_ms)


def _proof_elsewhere(name: str, verifies: Verifies, request: Request, now_ms: int) -> str | None:
    """The header that carries the proof under a name of its own."""
    for other, value in islice(request.headers, HEADERS_TRIED_MAX):
        if verifies(_with_header(request, name, value), now_ms):
            return other
    return None


def _mismatch(settings: SourceSettings, verifies: Verifies, request: Request, now_ms: int) -> list[str]:
    names = proof_headers_in(settings, request.headers)
    for hint, changed in _changes(settings, request):
        for at_ms in (now_ms, *_signed_times(request, names)):
            if verifies(changed, at_ms):
                return [text for text in (_time_off(at_ms, now_ms), hint) if text]
    if other := _other_digest(settings, request):
        return [other]
    count = len(settings.secrets)
    secrets = "the secret" if count == 1 else f"any of the {count} secrets"
    problem = f"what header {' and '.join(names)} proves does not fit {secrets} and this body"
    return [problem, *_advice(settings)]


def _other_digest(settings: SourceSettings, request: Request) -> str | None:
    """What is wrong where the secret is right, and the signature is made with another digest of the same family."""
    scheme = scheme_of(settings)
    if scheme is None or scheme.header is None or scheme.scheme not in _HMAC:
        return None
    sent = request.headers.get(scheme.header) or ""
    timestamp, id_ = (request.headers.get(name or "") or "" for name in (scheme.timestamp_header, scheme.id_header))
    content = fill_content(scheme.content, request.body, timestamp, id_)
    for other in (each for each in _HMAC if each != scheme.scheme):
        made = replace(scheme, scheme=other, prefix="")
        if any(sent.lower().endswith(proof_value(made, each, content).lower()) for each in settings.secrets):
            return f"header {scheme.header} is signed with {other}, and the source expects {scheme.scheme}"
    return None


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
    return f"the signature is right, and its time is {abs(seconds)} s {when}"


def _signed_times(request: Request, names: tuple[str, ...]) -> list[int]:
    """Milliseconds since the epoch, of whatever looks like Unix seconds in the headers of the proof."""
    texts = [value for name in names for value in request.headers.get_all(name)]
    found = (each for text in texts for each in _UNIX_SECONDS.findall(text))
    return [int(each) * 1000 for each in islice(found, SIGNED_TIMES_MAX)]


# -- one thing changed --------------------------------------------------------------------------


def _changes(settings: SourceSettings, request: Request) -> Iterator[tuple[str, Request]]:
    """The request as it is, then with one thing changed; each with what is wrong if it passes so."""
    yield "", request
    for what, body in _bodies(request.body):
        if body != request.body:
            yield f"the signature is right if {what}", replace(request, body=body)
    for name in proof_headers_in(settings, request.headers):
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
