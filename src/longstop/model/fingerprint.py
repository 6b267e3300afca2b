"""Fingerprints of credentials: whether a refused request bore the secret of today, without keeping what it bore.

A request that is proven by a shared secret shows the secret. Of one that is kept apart, to be verified again after a
rotation, only a salted, slow hash of it is kept: it can be compared with a secret that is known, and a secret cannot
be read out of it.
"""

import hashlib
import hmac
from functools import lru_cache

from longstop.model.event import Headers
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import proof_value, scheme_of

SALT_BYTES = 16
ITERATIONS = 20_000
"""Of PBKDF2 with HMAC-SHA-256: a few milliseconds, for each guess too. Secrets of webhooks are long and random."""


def shows_credential(verify: VerifySettings | None) -> bool:
    """Whether what is proven so shows the secret itself."""
    return verify is not None and verify.scheme in ("header", "basic", "bearer")


def credential(settings: SourceSettings, headers: Headers) -> bytes | None:
    """The credential that a request shows; None where it shows none in the form that its source expects."""
    verify = scheme_of(settings)
    if verify is None or not shows_credential(verify):
        return None
    values = headers.wire_values(verify.header or "Authorization")
    return _bare(verify, values[0]) if len(values) == 1 else None


def _bare(verify: VerifySettings, sent: bytes) -> bytes | None:
    sent = sent.strip(b" \t")
    if verify.scheme == "header":
        return sent or None
    word, _, token = sent.partition(b" ")
    return (token.strip() or None) if word.lower() == verify.scheme.encode() else None


def fingerprint(shown: bytes, salt: bytes) -> bytes:
    """The salt and the hash of a credential."""
    return salt + hashlib.pbkdf2_hmac("sha256", shown, salt, ITERATIONS)


_fingerprint_of_secret = lru_cache(maxsize=256)(fingerprint)


def with_credential(settings: SourceSettings, headers: Headers, kept: bytes) -> Headers:
    """The headers with the secret in its place that has this fingerprint; as they are where none has it."""
    verify = scheme_of(settings)
    if verify is None or not kept:
        return headers
    for secret in settings.secrets:
        value = proof_value(verify, secret, b"")
        shown = _bare(verify, value.encode())
        if shown is not None and hmac.compare_digest(_fingerprint_of_secret(shown, kept[:SALT_BYTES]), kept):
            return headers.blanked(frozenset({(verify.header or "Authorization").lower().encode()}), value)
    return headers
