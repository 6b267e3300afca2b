"""The sender's side of verification: the headers with which a body is proven to come from a source's sender.

`longstop send`, the demo and tests sign with it; that `sources` admits what is signed here is tested, scheme by
scheme.
"""

import base64
import hmac
from collections.abc import Mapping
from types import MappingProxyType

from longstop.model.errors import ConfigurationError
from longstop.model.settings import SourceSettings, VerifySettings

OWN_SCHEMES: Mapping[str, VerifySettings] = MappingProxyType(
    {
        # Genesys Cloud signs Open Messaging webhooks so: base64, not the usual hex, after the prefix.
        "genesys-open-messaging": VerifySettings(
            scheme="hmac-sha256", header="X-Hub-Signature-256", encoding="base64", prefix="sha256="
        ),
    }
)
"""Kinds of source whose sender has a scheme of its own."""


def sign(settings: SourceSettings, body: bytes) -> list[tuple[str, str]]:
    """The headers that prove a body, under the source's first secret; none where nothing is verified.

    Raises ConfigurationError where there is no secret to sign with.
    """
    verify = settings.verify or OWN_SCHEMES.get(settings.kind, VerifySettings())
    if verify.scheme == "none":
        return []
    if not settings.secrets:
        problem = f"sources.{settings.name}.secrets: found none; expected at least one, to sign with"
        raise ConfigurationError((problem,))
    return [(verify.header or "Authorization", _proof(verify, settings.secrets[0], body))]


def _proof(verify: VerifySettings, secret: str, body: bytes) -> str:
    match verify.scheme:
        case "header":
            return verify.prefix + secret
        case "bearer":
            return f"Bearer {secret}"
        case "basic":
            # RFC 7617, with the charset it recommends: UTF-8.
            pair = secret if verify.username is None else f"{verify.username}:{secret}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
    digest = hmac.digest(secret.encode(), body, verify.scheme.removeprefix("hmac-"))
    return verify.prefix + (digest.hex() if verify.encoding == "hex" else base64.b64encode(digest).decode())
