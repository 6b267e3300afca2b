"""Standard Webhooks: the convention that many senders of webhooks follow.

Facts from its specification (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, 1.0.0) and its
reference libraries:
- What is signed is `webhook-id`, a full stop, `webhook-timestamp` (Unix seconds), a full stop and the raw body.
- `webhook-signature` holds signatures with spaces between them: `v1,` and the base64 of HMAC-SHA256, `v1a,` and the
  base64 of an Ed25519 signature. Any good one will do: so a secret is rotated. Other versions mean nothing.
- Secrets are base64 after `whsec_`, public keys (32 bytes) base64 after `whpk_`.
- The id is the same in every try, the time is that of the try. The libraries tolerate 5 minutes, either way.
- The body may be anything; it should be JSON with `type`, `timestamp` and `data`.
"""

import base64
import hmac
from collections.abc import Callable, Iterable

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.own_scheme import own_verifier, unusable_secret
from longstop.sources.reading import compile_selector, parse_leniently
from longstop.sources.verification import is_fresh, sole_value

SIGNATURES_MAX = 16
"""So many are looked at: the work for one request is not the sender's to choose."""

PublicKey = Callable[[bytes, bytes], bool]
"""Tells whether a signature (64 bytes) is of a content."""


class StandardWebhooksVerifier:
    """HMAC by shared keys, Ed25519 by public ones."""

    def __init__(self, keys: Iterable[bytes], public_keys: Iterable[PublicKey], tolerance_ms: int) -> None:
        self._keys = tuple(keys)
        self._public_keys = tuple(public_keys)
        self._tolerance_ms = tolerance_ms

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether one of the signatures is by one of the keys, and the time is near enough."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        id_, time, sent = (sole_value(request.headers, name) for name in names)
        content = b".".join((id_, time, request.body))
        shared = [_hmac(key, content) for key in self._keys]
        found = False
        for signature in sent.split()[:SIGNATURES_MAX]:
            found |= self._is_one_of(signature, shared, content)
        return found and id_ != b"" and is_fresh(time, now_ms, self._tolerance_ms)

    def _is_one_of(self, signature: bytes, shared: list[bytes], content: bytes) -> bool:
        found = False
        for expected in shared:
            found |= hmac.compare_digest(signature, expected)
        if signature.startswith(b"v1a,") and (decoded := _decoded(signature[4:])) is not None:
            # Nothing of a public key is secret, and neither is how long it takes.
            found |= any(verifies(decoded, content) for verifies in self._public_keys)
        return found


def _hmac(key: bytes, content: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(key, content, "sha256"))


def _decoded(text: bytes) -> bytes | None:
    """What base64 stands for, if it is written in its one canonical form; otherwise several texts would be the same."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data) == text else None


def _public_key(data: bytes) -> PublicKey:
    # Imported by those who have such a key: it takes longer than all of the rest of the sources.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(data)

    def verifies(signature: bytes, content: bytes) -> bool:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    return verifies


def _verifier(settings: SourceSettings, secrets: tuple[str, ...]) -> StandardWebhooksVerifier:
    keys: list[bytes] = []
    public_keys: list[PublicKey] = []
    for secret in secrets:
        if secret.startswith("whsk_"):
            raise unusable_secret(
                settings, "a private key (whsk_), which is the sender's alone", "its public one (whpk_)"
            )
        data = _key_bytes(settings, secret)
        if not secret.startswith("whpk_"):
            keys.append(data)
        elif len(data) == 32:
            public_keys.append(_public_key(data))
        else:
            raise unusable_secret(settings, f"a public key of {len(data)} bytes", "one of 32 bytes after whpk_")
    return StandardWebhooksVerifier(keys, public_keys, settings.tolerance_ms)


def _key_bytes(settings: SourceSettings, secret: str) -> bytes:
    text = secret.removeprefix("whsec_").removeprefix("whpk_")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data:
        raise unusable_secret(
            settings, "one that is no base64", "base64 after whsec_ (a secret) or whpk_ (a public key)"
        )
    return data


def build(settings: SourceSettings) -> Source:
    """A source that keeps to the convention. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        verifier=own_verifier(settings, lambda secrets: _verifier(settings, secrets)),
        parse=parse_leniently,
        dedup=compile_selector("header:webhook-id").dedup,
        type=compile_selector("type").text,
    )
