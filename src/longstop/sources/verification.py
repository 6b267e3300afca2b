"""Proofs that a request is the sender's own: shared secrets, Basic, Bearer and HMAC signatures.

A verifier answers yes or no and says nothing more. Whatever is wrong with a request — no header, two
of them, another secret, bytes that are no text — costs the same work as a wrong signature: every
secret is always tried, and every comparison takes constant time. So neither the answer nor its timing
tells a forger how near he came.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from typing import Protocol

from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import VerifySettings
from longstop.model.signing import fill_content

TOLERANCE_MS = 300_000
"""How far a signed time may be off where the settings say nothing: five minutes, as most senders advise."""

_DIGESTS = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}
_PLACE = re.compile(r"\{(body|timestamp|id)\}")
_UNIX_SECONDS = re.compile(rb"[0-9]{1,12}")


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
    """The header carries a keyed hash of the raw body (RFC 2104), in hex or base64, after an optional prefix.

    Hex is taken in either case. Base64 is compared as text, in its one canonical form: decoded, several
    texts would be the same signature.
    """

    def __init__(
        self,
        secrets: Iterable[str | bytes],
        header: str,
        *,
        digest: str = "sha256",
        hexadecimal: bool = True,
        prefix: str = "",
    ) -> None:
        keys = (secret.encode() if isinstance(secret, str) else secret for secret in secrets)
        self._keyed = tuple(hmac.new(key, digestmod=digest) for key in keys)
        """With the secret taken in already, which is half of the work for a small body."""
        self._header = header
        self._hexadecimal = hexadecimal
        self._prefix = prefix.lower().encode() if hexadecimal else prefix.encode()

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, is the body's signature under one of the secrets."""
        return self.signs(sole_value(request.headers, self._header), request.body)

    def signs(self, sent: bytes, content: bytes) -> bool:
        """Whether `sent` is the content's signature under one of the secrets, for schemes that sign more."""
        expected = [self._signature(keyed.copy(), content) for keyed in self._keyed]
        return equals_any(sent.lower() if self._hexadecimal else sent, expected)

    def _signature(self, keyed: hmac.HMAC, content: bytes) -> bytes:
        keyed.update(content)
        digest = keyed.digest()
        return self._prefix + (digest.hex().encode() if self._hexadecimal else base64.b64encode(digest))


class TemplateHmacVerifier:
    """The signature covers a text that is made of the body and of what stands in headers, as `{timestamp}.{body}`.

    What is signed with a time is admitted for so long before and after it, both ends included, that a captured
    request cannot be played again for ever.

    content: the text, with {body}, {timestamp} and {id} for what is put in.
    timestamp_header, id_header: where these are from; a request that lacks one is refused.
    """

    def __init__(
        self,
        signature: HmacVerifier,
        header: str,
        *,
        content: str,
        timestamp_header: str | None = None,
        id_header: str | None = None,
        tolerance_ms: int,
    ) -> None:
        self._signature = signature
        self._header = header
        self._content = content
        self._headers = {"timestamp": timestamp_header, "id": id_header}
        self._tolerance_ms = tolerance_ms

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the header is the text's signature under one of the secrets, and the time in it is near enough."""
        put_in = {name: sole_value(request.headers, header) for name, header in self._headers.items() if header}
        # All that is to be known is found out before any of it is judged, so that each refusal costs the same.
        complete = all(put_in.values())
        fresh = "timestamp" not in put_in or is_fresh(put_in["timestamp"], now_ms, self._tolerance_ms)
        texts = {name: value.decode("latin-1") for name, value in put_in.items()}
        content = fill_content(self._content, request.body, **texts)
        return self._signature.signs(sole_value(request.headers, self._header), content) and complete and fresh


def is_fresh(seconds: bytes, now_ms: int, tolerance_ms: int) -> bool:
    """Whether a time in Unix seconds, as digits, is at most the tolerance away from now, in the past or the future."""
    if not _UNIX_SECONDS.fullmatch(seconds):
        return False
    return abs(now_ms - int(seconds) * 1000) <= tolerance_ms


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
        hexadecimal=verify.encoding == "hex",
        prefix=verify.prefix,
    )
    _require_headers(verify, source)
    if verify.content == "{body}":
        return signature
    return TemplateHmacVerifier(
        signature,
        verify.header,
        content=verify.content,
        timestamp_header=verify.timestamp_header,
        id_header=verify.id_header,
        tolerance_ms=tolerance_ms,
    )


def _require_headers(verify: VerifySettings, source: str) -> None:
    """What is signed has to be found, and what is judged has to be signed."""
    named = set(_PLACE.findall(verify.content))
    for name, header in (("timestamp", verify.timestamp_header), ("id", verify.id_header)):
        if (name in named) != (header is not None):
            found = "nothing" if header is None else f"a header, and no {{{name}}} in content"
            raise _unusable(
                source, f"verify.{name}_header", found, f"it where content holds {{{name}}}, and only there"
            )


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
