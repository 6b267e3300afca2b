"""NICE CXone Bring Your Own Channel (BYOC): the platform posts an agent's messages to a channel of one's own.

Facts from a sample application by an engineer of the vendor and from the vendor's page on BYOC middleware
(https://developer.niceincontact.com/Documentation/BYOCMiddleware):
- The platform first posts `{client_id, client_secret, grant_type}` as JSON to a token URL of the middleware, then
  each message to `{box}/1.0/posts/{id}/messages`, with the Bearer token. On 401 it asks for a new token.
- The answer has to be 200 with the message's id on the other side, `{"idOnExternalPlatform": …}`, which here
  is the event's. A redelivery is answered with the first event's.

Tokens are not kept anywhere: each says when it ends and is signed with the client's secret, so that any process can
tell its own, and taking a secret out of the configuration ends all of its tokens. The messages' bodies are not
published. `id` or `message.id` names a message, if there is one; otherwise equal bodies to one post are one message.
"""

import hmac
import re
from typing import Any

import msgspec

from longstop.model.errors import ConfigurationError, VerificationError
from longstop.model.event import Receipt
from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import NOT_VERIFIED, Dialect
from longstop.sources.duplicate_names import RepeatedNames
from longstop.sources.own_scheme import own_verifier
from longstop.sources.reading import dedup_of, fingerprint, joint_key, parse_leniently, parse_object
from longstop.sources.verification import HmacVerifier, equals_any, sole_value

TOKEN_S = 3_600
"""How long a token is good for."""
TOKEN_REQUEST_BYTES_MAX = 8 * 1024
"""Of a request for a token: three short texts. It proves itself by what is in its body, so a stranger's is parsed."""
MESSAGE_TYPE = "message"

_POST = frozenset({"POST"})
_NONE: frozenset[str] = frozenset()
_MESSAGES = re.compile(r"(?:/.*)?/posts/([^/]+)/messages/?", re.DOTALL)
_BEARER = re.compile(rb"bearer +([0-9]{1,12})\.([0-9a-f]{64})", re.IGNORECASE)


class Tokens:
    """Bearer tokens that say until when they are good: Unix seconds, a dot, and their HMAC-SHA256 in hex.

    The key of each is made of a client secret and the source's name, so that no source takes another's tokens.
    """

    def __init__(self, source: str, secrets: tuple[str, ...]) -> None:
        purpose = f"longstop cxone-byoc token\0{source}".encode()
        self._keys = {secret: hmac.digest(secret.encode(), purpose, "sha256") for secret in secrets}
        self._signatures = HmacVerifier(self._keys.values(), "Authorization")

    def make(self, secret: str, now_ms: int) -> str:
        """A token that is good for an hour, made with one of the secrets."""
        until_s = str(now_ms // 1000 + TOKEN_S)
        return f"{until_s}.{hmac.digest(self._keys[secret], until_s.encode(), 'sha256').hex()}"

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the request shows a token of ours that is still good."""
        shown = _BEARER.fullmatch(sole_value(request.headers, "Authorization"))
        until_s, signature = shown.groups() if shown else (b"0", b"")
        ours = self._signatures.signs([signature], until_s)
        return ours and int(until_s) * 1000 > now_ms


class ByocSource(Dialect):
    """A dialect with two places below the source's path: one for tokens, one for messages."""

    def __init__(self, settings: SourceSettings, client_id: str, tokens: Tokens) -> None:
        super().__init__(
            settings,
            verifier=tokens,
            parse=parse_object,
            dedup=dedup_key,
            type=lambda _request, _document: MESSAGE_TYPE,
            key=post_id,
            answer=answer,
        )
        self._client_id = client_id.encode()
        self._secrets = settings.secrets
        self._tokens = tokens

    def methods(self, path: str) -> frozenset[str]:
        """POST at `…/token` and `…/posts/{id}/messages`."""
        return _POST if path.endswith("/token") or _MESSAGES.fullmatch(path) else _NONE

    def body_bytes_max(self, path: str) -> int:
        """Next to nothing for a request for a token."""
        return min(TOKEN_REQUEST_BYTES_MAX, self.max_body_bytes) if path.endswith("/token") else self.max_body_bytes

    def handshake(self, request: Request, now_ms: int) -> Answer | None:
        """A token for whoever shows the client's id and secret. Raises VerificationError for all others."""
        if not request.path.endswith("/token"):
            return None
        small = len(request.body) <= self.body_bytes_max(request.path)
        secret = self._client_secret(parse_leniently(request.body)) if small else None
        if secret is None:
            raise VerificationError(NOT_VERIFIED)
        self._allow.check(request.client)
        token = {"access_token": self._tokens.make(secret, now_ms), "token_type": "Bearer", "expires_in": TOKEN_S}
        return Answer(200, msgspec.json.encode(token), headers=(("cache-control", "no-store"),))

    def _client_secret(self, asked: Any) -> str | None:
        """The secret that was shown, if the client's id was shown with it."""
        client_id, shown = (_bytes_at(asked, name) for name in ("client_id", "client_secret"))
        known = equals_any(client_id, (self._client_id,))
        secrets = [secret for secret in self._secrets if equals_any(shown, (secret.encode(),))]
        return secrets[0] if known and secrets else None


def _bytes_at(document: Any, name: str) -> bytes:
    value = document.get(name) if type(document) is dict else None
    return value.encode("utf-8", "replace") if type(value) is str else b""


def _message_id(document: Any) -> Any:
    message = document.get("message")
    return document.get("id") or (message.get("id") if type(message) is dict else None)


_REPEATED = RepeatedNames(_message_id, ("id", "message"))


def post_id(request: Request, _document: Any = None) -> str | None:
    """The post that the message belongs to: a part of the path."""
    found = _MESSAGES.fullmatch(request.path)
    return found[1] if found else None


def dedup_key(request: Request, document: Any) -> bytes:
    """The post and the message's id in it; without one, the post and the hash of the whole body."""
    found = _message_id(document)
    _REPEATED.check(request.body, document, found)
    named = dedup_of(found) or fingerprint(request.body)
    return joint_key([post_id(request), named.decode("utf-8", "replace")])


def answer(receipt: Receipt) -> Answer:
    """200 and the id that the message has on this side."""
    return Answer(200, msgspec.json.encode({"idOnExternalPlatform": receipt.event_id}))


def build(settings: SourceSettings) -> Source:
    """A BYOC source. Raises ConfigurationError where the settings cannot be used."""
    if not settings.client_id:
        expected = "the client id that the platform was given, to ask for tokens with"
        raise ConfigurationError((f"sources.{settings.name}.client_id: found nothing; expected {expected}",))
    tokens = own_verifier(settings, lambda secrets: Tokens(settings.name, secrets))
    if tokens is None:
        expected = "none for cxone-byoc, which has tokens of its own"
        raise ConfigurationError((f"sources.{settings.name}.verify: found a table; expected {expected}",))
    return ByocSource(settings, settings.client_id, tokens)
