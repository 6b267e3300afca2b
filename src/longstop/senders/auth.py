"""How a delivery is proven to be ours: the headers that each scheme adds to a request.

Signatures cover the body as it is sent, and the id and the time that the request itself carries.

Sources: Basic RFC 7617, Bearer RFC 6750, HMAC RFC 2104, Standard Webhooks its specification 1.0.0
(github.com/standard-webhooks/standard-webhooks). OAuth is in `oauth`.
"""

import base64
import hmac
from collections.abc import Iterable
from typing import Protocol

from longstop.model.errors import ConfigurationError
from longstop.model.lease import Claim
from longstop.model.outgoing_request import Pairs
from longstop.model.settings import AuthSettings
from longstop.model.signing import fill_content, webhook_key


class Auth(Protocol):
    """Proves requests to a destination."""

    step: str
    """What an attempt does while it waits for its proof, for the person who reads that it timed out there."""

    async def headers(self, claim: Claim, timestamp: str) -> Pairs:
        """What proves this delivery, sent with its event's id and this time (Unix seconds). May wait for a token."""

    def rejected(self, proof: Pairs) -> bool:
        """The destination answered 401 to this proof: whether the next one will be another, so that it is worth it."""

    async def close(self) -> None:
        """Break off what is under way. Safe to call twice."""


class _Offline:
    """Asks nobody, so that a 401 changes nothing about the next proof."""

    step = "signing"

    def rejected(self, _proof: Pairs) -> bool:
        """False: the next proof would be as good as this one."""
        return False

    async def close(self) -> None:
        """Nothing is under way."""


class _Constant(_Offline):
    """Headers that are the same for every delivery."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = list(pairs)

    async def headers(self, _claim: Claim, _timestamp: str) -> Pairs:
        """Those."""
        return self._pairs


class NoAuth(_Constant):
    """Proves nothing."""


class BasicAuth(_Constant):
    """A user name and a password, in the charset that RFC 7617 recommends: UTF-8."""

    def __init__(self, username: str, password: str) -> None:
        super().__init__(("Authorization", basic(username, password)))


class BearerAuth(_Constant):
    """A token that does not change."""

    def __init__(self, token: str) -> None:
        super().__init__(("Authorization", f"Bearer {token}"))


class HmacAuth(_Offline):
    """A keyed hash of the body, or of a text that is made of it and of the id and the time that are sent."""

    def __init__(self, settings: AuthSettings, secret: str) -> None:
        self._settings = settings
        self._header = settings.header or ""
        self._digest = settings.scheme.removeprefix("hmac-")
        self._key = secret.encode()

    async def headers(self, claim: Claim, timestamp: str) -> Pairs:
        """The signature, and the time and the id under names of their own where the settings give some."""
        settings, event = self._settings, claim.event
        content = fill_content(settings.content, event.body, timestamp, event.id)
        digest = hmac.digest(self._key, content, self._digest)
        signature = digest.hex() if settings.encoding == "hex" else base64.b64encode(digest).decode()
        beside = ((settings.timestamp_header, timestamp), (settings.id_header, event.id))
        return [
            (self._header, settings.prefix + signature),
            *((name, value) for name, value in beside if name is not None),
        ]


class StandardWebhooksAuth(_Offline):
    """`webhook-signature`: of each key a signature of `{id}.{timestamp}.{body}`, with spaces between them."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = tuple(keys)

    async def headers(self, claim: Claim, timestamp: str) -> Pairs:
        """The signatures. While a secret is rotated the receiver may know the old one or the new one."""
        content = fill_content("{id}.{timestamp}.{body}", claim.event.body, timestamp, claim.event.id)
        signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in self._keys)
        return [("webhook-signature", " ".join(f"v1,{signature}" for signature in signatures))]


def basic(username: str, password: str) -> str:
    """The value of `Authorization` for a user name and a password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def build_auth(settings: AuthSettings | None, destination: str) -> Auth:
    """The proof that settings ask for, for every scheme but OAuth. Raises ConfigurationError where they lack something.

    The configuration has looked at all of it before, in better words; these are for settings made in code.
    """
    match settings:
        case None:
            return NoAuth()
        case AuthSettings(scheme="basic", username=str(username), password=str(password)):
            return BasicAuth(username, password)
        case AuthSettings(scheme="bearer", token=str(token)):
            return BearerAuth(token)
        case AuthSettings(scheme="hmac-sha1" | "hmac-sha256" | "hmac-sha512", header=str(), secrets=(secret,)):
            return HmacAuth(settings, secret)
        case AuthSettings(scheme="standard-webhooks", secrets=(_, *_)):
            return StandardWebhooksAuth(_webhook_keys(settings, destination))
    raise ConfigurationError((f"destinations.{destination}.auth: found too little for scheme {settings.scheme}",))


def _webhook_keys(settings: AuthSettings, destination: str) -> list[bytes]:
    keys = []
    for place, secret in enumerate(settings.secrets):
        try:
            keys.append(webhook_key(secret))
        except ValueError:
            path = f"destinations.{destination}.auth.secrets[{place}]"
            raise ConfigurationError((f"{path}: found no base64; expected it after whsec_",)) from None
    return keys
