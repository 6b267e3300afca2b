"""Proofs that a request is the sender's own: shared secrets, Basic, Bearer and HMAC signatures.

A verifier answers yes or no and says nothing more. Whatever is wrong with a request — no header, two
of them, another secret, bytes that are no text — costs the same work as a wrong signature: every
secret is always tried, and every comparison takes constant time. So neither the answer nor its timing
tells a forger how near he came.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import VerifySettings
from longstop.model.signing import CONTENT_PLACE
from longstop.sources.signed_content import SignedContent, is_fresh_time

TOLERANCE_MS = 300_000
"""How far a signed time may be off where the settings say nothing: five minutes, as most senders advise."""

SIGNATURES_MAX = 16
"""So many signatures of one request are looked at: the work is not the sender's to choose."""
ELEMENTS_MAX = 64
"""So many elements of a header such as `t=…,v1=…` are looked at."""

_COMMA = ord(",")

Encoding = Literal["hex", "base64", "base64url"]

_DIGESTS = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}


class Verifier(Protocol):
    """Tells the sender's own requests from all others."""

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the request is proven to be the sender's; never raises.

        `now_ms` is for schemes that sign a time and tolerate only so much of it.
        """


class NoVerifier:
    """Admits everybody: for senders that can prove nothing, behind a network that can."""

    def admits(self, _request: Request, _now_ms: int, /) -> bool:
        """True."""
        return True


class SecretVerifier:
    """The header carries the secret itself, after an optional prefix."""

    def __init__(self, secrets: Iterable[str], header: str, prefix: str = "") -> None:
        self._header = header
        self._expected = tuple((prefix + secret).encode() for secret in secrets)

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, equals one of the secrets."""
        return equals_any(sole_value(request.headers, self._header), self._expected)


class CredentialsVerifier:
    """`Authorization: <scheme> <token>` (RFC 9110, 11.4): Basic and Bearer. The scheme's case is free."""

    def __init__(self, scheme: str, tokens: Iterable[str], header: str = "Authorization") -> None:
        self._header = header
        self._scheme = scheme.lower().encode()
        self._expected = tuple(token.encode() for token in tokens)

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, names the scheme and carries one of the tokens."""
        scheme, _, token = sole_value(request.headers, self._header).partition(b" ")
        known = equals_any(token.strip(), self._expected)
        return scheme.lower() == self._scheme and known


class HmacVerifier:
    """The header carries a keyed hash of the raw body (RFC 2104), after an optional prefix, in hex or base64.

    The header may hold several with commas between them, as some senders do while a secret is rotated. Hex is taken in
    either case. Base64 is compared as text, in its one canonical form: decoded, several texts would be the same
    signature. Of base64url the padding may be left out.
    """

    def __init__(
        self,
        secrets: Iterable[str | bytes],
        header: str,
        *,
        digest: str = "sha256",
        encoding: Encoding = "hex",
        prefix: str = "",
    ) -> None:
        keys = (secret.encode() if isinstance(secret, str) else secret for secret in secrets)
        self._keyed = tuple(hmac.new(key, digestmod=digest) for key in keys)
        """With the secret taken in already, which is half of the work for a small body."""
        self._header = header
        self._encoding = encoding
        self._write = _WRITE[encoding]
        self._prefix = _canonical(prefix.encode(), encoding) if encoding == "hex" else prefix.encode()

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, holds the body's signature under one of the secrets."""
        return self.signs(listed(sole_value(request.headers, self._header)), request.body)

    def signs(self, sent: Sequence[bytes], *content: bytes) -> bool:
        """Whether one of those sent is the signature of the content (in pieces) under one of the secrets.

        The content is hashed once for each secret, however many signatures were sent, and also if none was.
        """
        expected = [self._signature(keyed.copy(), content) for keyed in self._keyed]
        found = False
        for one in sent[:SIGNATURES_MAX]:
            found |= equals_any(_canonical(one, self._encoding), expected)
        return found

    def _signature(self, keyed: hmac.HMAC, content: Iterable[bytes]) -> bytes:
        # Not hmac.digest, which holds the interpreter's lock for the whole of a large body.
        for piece in content:
            keyed.update(piece)
        return self._prefix + self._write(keyed.digest())


def _canonical(signature: bytes, encoding: Encoding) -> bytes:
    if encoding == "hex":
        return signature.lower()
    return signature.rstrip(b"=") if encoding == "base64url" else signature


def _base64(digest: bytes) -> bytes:
    return binascii.b2a_base64(digest, newline=False)


_WRITE: Mapping[Encoding, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": _base64,
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}


def listed(value: bytes) -> list[bytes]:
    """The signatures in a header: one, or several with commas between them."""
    if _COMMA not in value:
        return [value]
    return [each.strip(b" \t") for each in value.split(b",", SIGNATURES_MAX)]


class TemplateHmacVerifier:
    """The signature covers a text that is made of the body and of what stands in headers, as `{timestamp}.{body}`.

    What is signed with a time is admitted for so long before and after it, both ends included, that a captured
    request cannot be played again for ever.

    Raises ConfigurationError where what is signed and where it is from do not fit.
    """

    def __init__(self, verify: VerifySettings, signature: HmacVerifier, source: str, tolerance_ms: int) -> None:
        _require_headers(verify, source)
        assert verify.header is not None
        self._header = verify.header
        self._signature = signature
        self._content = SignedContent(verify.content)
        self._headers = {"timestamp": verify.timestamp_header, "id": verify.id_header}
        self._timestamp_part = None if verify.timestamp_part is None else verify.timestamp_part.encode()
        self._signature_part = None if verify.signature_part is None else verify.signature_part.encode()
        self._tolerance_ms = tolerance_ms

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the header holds the text's signature under one of the secrets, and the time in it is near enough."""
        sent = sole_value(request.headers, self._header)
        signatures = listed(sent) if self._signature_part is None else _named(sent, self._signature_part)
        put_in = self._put_in(request.headers, sent)
        # All that is to be known is found out before any of it is judged, so that each refusal costs the same.
        complete = all(put_in.values()) and self._content.is_unambiguous(request.body, put_in)
        fresh = "timestamp" not in put_in or is_fresh_time(
            put_in["timestamp"], now_ms, self._tolerance_ms, self._content.takes_milliseconds
        )
        return self._signature.signs(signatures, *self._content.parts(request.body, put_in)) and complete and fresh

    def _put_in(self, headers: Headers, sent: bytes) -> dict[str, bytes]:
        put_in = {name: sole_value(headers, header) for name, header in self._headers.items() if header}
        if self._timestamp_part is not None:
            times = _named(sent, self._timestamp_part)
            # Of two times, one is not signed.
            put_in["timestamp"] = times[0] if len(times) == 1 else b""
        return put_in


def _named(value: bytes, name: bytes) -> list[bytes]:
    """What stands behind `name=` in a header such as `t=1492774577,v1=5257a8…`; semicolons divide as commas do."""
    elements = (each.strip(b" \t").partition(b"=") for each in value.replace(b";", b",").split(b",", ELEMENTS_MAX))
    return [found for each, _, found in elements if each == name]


def sole_value(headers: Headers, name: str) -> bytes:
    """The bytes on the wire of a header that was sent exactly once; otherwise empty, which equals no secret.

    A header sent twice is refused, not chosen from: a proxy and this program might choose differently.
    """
    values = headers.wire_values(name)
    return values[0].strip(b" \t") if len(values) == 1 else b""


def equals_any(sent: bytes, expected: Iterable[bytes]) -> bool:
    """Whether what was sent is one of what is expected; it takes as long whichever it is, and if it is none."""
    # No early way out. compare_digest takes as long as its second argument is, which the sender does not choose.
    found = False
    for one in expected:
        found |= hmac.compare_digest(sent, one)
    return found


def build_verifier(
    verify: VerifySettings, secrets: tuple[str, ...], source: str, tolerance_ms: int = TOLERANCE_MS
) -> Verifier:
    """The verifier that these settings ask for. Raises ConfigurationError where they cannot verify anything."""
    if verify.scheme == "none":
        return NoVerifier()
    _require_secrets(verify, secrets, source)
    if verify.scheme == "basic":
        return CredentialsVerifier("basic", _basic_tokens(verify, secrets, source), verify.header or "Authorization")
    if verify.scheme == "bearer":
        return CredentialsVerifier("bearer", secrets, verify.header or "Authorization")
    if not verify.header:
        raise _unusable(source, "verify.header", f"nothing, and {verify.scheme} needs it", "the name of a header")
    if verify.scheme == "header":
        return SecretVerifier(secrets, verify.header, verify.prefix)
    signature = HmacVerifier(
        secrets,
        verify.header,
        digest=_DIGESTS[verify.scheme],
        encoding=verify.encoding,
        prefix=verify.prefix,
    )
    if verify.content == "{body}" and verify.signature_part is None and not _puts_in(verify):
        return signature
    return TemplateHmacVerifier(verify, signature, source, tolerance_ms)


def _puts_in(verify: VerifySettings) -> bool:
    return bool(verify.timestamp_header or verify.timestamp_part or verify.id_header)


def _require_headers(verify: VerifySettings, source: str) -> None:
    """What is signed has to be found, and what is judged has to be signed."""
    named = set(CONTENT_PLACE.findall(verify.content))
    times = verify.timestamp_header or verify.timestamp_part
    for name, given in (("timestamp", times), ("id", verify.id_header)):
        if (name in named) != (given is not None):
            found = "nothing" if given is None else f"a header, and no {{{name}}} in content"
            raise _unusable(
                source, f"verify.{name}_header", found, f"it where content holds {{{name}}}, and only there"
            )
    if verify.timestamp_part is not None and (verify.timestamp_header or not verify.signature_part):
        expected = "it beside signature_part and without timestamp_header"
        raise _unusable(source, "verify.timestamp_part", "a name", expected)


def _require_secrets(verify: VerifySettings, secrets: tuple[str, ...], source: str) -> None:
    if not secrets:
        raise _unusable(source, "secrets", "none", f"at least one, for {verify.scheme}")
    if not all(secrets):
        raise _unusable(source, "secrets", "an empty one, which anybody can guess", "only secrets with text in them")


def _basic_tokens(verify: VerifySettings, secrets: tuple[str, ...], source: str) -> list[str]:
    # RFC 7617, with the charset it recommends: UTF-8.
    pairs = secrets if verify.username is None else [f"{verify.username}:{secret}" for secret in secrets]
    if not all(":" in pair for pair in pairs):
        raise _unusable(
            source, "secrets", "one without a colon", "user:password, or verify.username beside the password"
        )
    return [base64.b64encode(pair.encode()).decode() for pair in pairs]


def _unusable(source: str, path: str, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError((f"sources.{source}.{path}: found {found}; expected {expected}",))
