"""Standard Webhooks: the convention that many senders of webhooks follow.

Facts from its specification (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, 1.0.0) and its
reference libraries:
- What is signed is `webhook-id`, a full stop, `webhook-timestamp` (Unix seconds), a full stop and the raw body.
- `webhook-signature` holds signatures with spaces between them: `v1,` and the base64 of HMAC-SHA256, `v1a,` and the
  base64 of an Ed25519 signature. Any good one will do: so a secret is rotated. Other versions mean nothing.
- The reference libraries of the service that the convention grew from name the headers `svix-id` and so on.
- The id must hold no full stop ("not be allowed to include any `.` to prevent certain attacks").
- Secrets are base64 after `whsec_`, public keys (32 bytes) base64 after `whpk_`.
- The id is the same in every try, the time is that of the try. The libraries tolerate 5 minutes, either way.
- The body may be anything; it should be JSON with `type`, `timestamp` and `data`.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Any

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.own_scheme import own_verifier, unusable_secret
from longstop.sources.reading import compile_selector, parse_leniently
from longstop.sources.signed_content import is_fresh, is_id
from longstop.sources.verification import SIGNATURES_MAX, HmacVerifier, sole_value

PUBLIC_SIGNATURES_MAX = 4
"""So many signatures by public keys are looked at: each takes the whole body to hash, so two are for a rotation of two
keys, and the work for one request is not the sender's to choose."""

_FULL_STOP = ord(".")
_NAMES = tuple((f"{family}-id", f"{family}-timestamp", f"{family}-signature") for family in ("webhook", "svix"))
"""The headers' names: the convention's own, and those of the service that it grew from."""

PublicKey = Callable[[bytes, bytes], bool]
"""Tells whether a signature (64 bytes) is of a content."""


class StandardWebhooksVerifier:
    """HMAC by shared keys, Ed25519 by public ones."""

    def __init__(self, keys: Iterable[bytes], public_keys: Iterable[PublicKey], tolerance_ms: int) -> None:
        self._shared = HmacVerifier(keys, "", encoding="base64")
        self._public_keys = tuple(public_keys)
        self._tolerance_ms = tolerance_ms

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether one of the signatures is by one of the keys, and the time is near enough."""
        id_, time, sent = (sole_value(request.headers, name) for name in names_in(request.headers))
        signatures = [each.partition(b",") for each in sent.split()[:SIGNATURES_MAX]]
        before = b"%b.%b." % (id_, time)
        found = self._shared.signs([text for version, _, text in signatures if version == b"v1"], before, request.body)
        found |= self._is_by_public_key([text for version, _, text in signatures if version == b"v1a"], before, request)
        # The specification wants an id without full stops: with one, its end could be sent again as the time.
        return found and is_id(id_) and _FULL_STOP not in id_ and is_fresh(time, now_ms, self._tolerance_ms)

    def _is_by_public_key(self, signatures: list[bytes], before: bytes, request: Request) -> bool:
        if not self._public_keys:
            return False
        content = before + request.body
        decoded = [_decoded(each) for each in signatures[:PUBLIC_SIGNATURES_MAX]]
        # Nothing of a public key is secret, and neither is how long it takes.
        return any(verifies(each, content) for each in decoded if each for verifies in self._public_keys)


def names_in(headers: Headers) -> tuple[str, str, str]:
    """The names of id, time and signature in this request: never some of one family and some of the other."""
    return next((names for names in _NAMES if names[2] in headers), _NAMES[0])


def dedup_key(request: Request, document: Any) -> bytes | None:
    """The id that is signed. Raises MalformedError where it comes twice with different values."""
    return _IDS[names_in(request.headers)[0]].dedup(request, document)


_IDS = {name: compile_selector(f"header:{name}") for name, _, _ in _NAMES}


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
        dedup=dedup_key,
        type=compile_selector("type").text,
    )
