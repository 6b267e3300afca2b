"""OAuth 2 client credentials: a token that all deliveries of a destination share, asked for once and in time.

Sources: RFC 6749 (2.3.1 how a client proves itself, 4.4 the grant, 5.1 the answer, 5.2 refusals), RFC 6750 (Bearer).
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp

from longstop.model.errors import ConfigurationError
from longstop.model.lease import Claim
from longstop.model.outgoing_request import Pairs
from longstop.model.retry import parse_retry_after
from longstop.model.settings import AuthSettings, DestinationSettings
from longstop.ports import Clock
from longstop.senders.auth import basic
from longstop.senders.connection import ANSWER_BYTES_READ, USER_AGENT, Progress, checked_url, explain, posted

EARLY_S = 60
"""A token is asked for anew so long before it ends; one that lives less than twice as long, at half its life."""

LIFE_S_DEFAULT = 300
"""How long a token is used whose endpoint does not say (RFC 6749, 5.1, leaves that to the documentation)."""

LIFE_S_MAX = 30 * 86_400
"""However long an endpoint says; one that ended before is noticed by the 401."""

PAUSE_S = 5
"""After an early renewal has failed, the next is not tried before this; the token in hand is still good."""

_REFUSALS = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope".split()
)
"""The words of RFC 6749, 5.2. Nothing else of a refusal is shown: what an endpoint answers may hold secrets."""

_TOKEN = re.compile(r"[!-~]+")


class TokenError(Exception):
    """There is no token, and so nothing was sent. Its text says why and holds no secret."""

    def __init__(self, problem: str, retry_after_s: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s
        """How long the token endpoint asked to be left alone."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an endpoint gave, and until when it is good."""

    text: str = field(repr=False)
    renew_at_ms: int
    """From here on the next one is asked for."""
    ends_at_ms: int

    @classmethod
    def lasting(cls, text: str, life_s: float, from_ms: int) -> "Token":
        """A token that was asked for at `from_ms` and lives so many seconds."""
        early_s = min(EARLY_S, life_s / 2)
        return cls(text, from_ms + int((life_s - early_s) * 1000), from_ms + int(life_s * 1000))


class Tokens:
    """The token in hand. However many want one, one request is under way at most, and all wait for that.

    A renewal belongs to nobody: an attempt that is cancelled or out of time leaves it to those who wait with it.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Token]], clock: Clock) -> None:
        """`fetch` asks for a token, within a time of its own, and raises TokenError where there is none."""
        self._fetch = fetch
        self._clock = clock
        self._held: Token | None = None
        self._renewal: asyncio.Task[Token] | None = None
        self._not_before_ms = 0

    async def token(self) -> str:
        """A token that is good now. Raises TokenError."""
        held, now_ms = self._held, self._clock.monotonic_ms()
        if held is None or now_ms >= held.ends_at_ms:
            return (await self._renewed()).text
        if now_ms >= held.renew_at_ms and now_ms >= self._not_before_ms:
            # Nobody waits for it, and nobody fails with it while the token in hand is good.
            self._begin()
        return held.text

    def reject(self, text: str) -> None:
        """The destination has refused this token: use it no more. One that took its place meanwhile stays."""
        if self._held is not None and self._held.text == text:
            self._held = None

    async def close(self) -> None:
        """Break off a renewal. Safe to call twice."""
        renewal = self._renewal
        if renewal is not None:
            renewal.cancel()
            await asyncio.wait((renewal,))

    async def _renewed(self) -> Token:
        renewal = self._begin()
        # Unlike awaiting the task itself, this does not cancel it when the attempt is cancelled.
        await asyncio.wait((renewal,))
        if renewal.cancelled():
            raise TokenError("no token: the gateway stopped")
        return renewal.result()

    def _begin(self) -> asyncio.Task[Token]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="renew_token")
            # Nobody may be there to hear of a failure, and that is no fault.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _renew(self) -> Token:
        try:
            token = await self._fetch()
        except TokenError:
            self._not_before_ms = self._clock.monotonic_ms() + PAUSE_S * 1000
            raise
        finally:
            self._renewal = None
        self._held = token
        return token


class TokenEndpoint:
    """Asks for tokens, under the guards that hold for deliveries."""

    def __init__(
        self,
        settings: DestinationSettings,
        auth: AuthSettings,
        session: Callable[[], aiohttp.ClientSession],
        clock: Clock,
    ) -> None:
        """`session` gives the destination's own. Raises ConfigurationError."""
        self._settings = settings
        self._url = checked_url(f"destinations.{settings.name}.auth.token_url", auth.token_url)
        self._session = session
        self._clock = clock
        self._headers, self._form = _request(settings, auth)

    @property
    def where(self) -> str:
        """Host and port of the endpoint."""
        return Progress(self._url).where

    async def fetch(self) -> Token:
        """A new token, within the time of an attempt. Raises TokenError."""
        progress = Progress(self._url)
        asked_at_ms = self._clock.monotonic_ms()
        problem = None
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                status, retry_after, body = await self._ask(progress)
        except Exception as error:
            problem = explain(error, progress, self._settings)
        # Outside the handler: the library's errors carry the request along, and the secret in its headers.
        if problem is not None:
            raise TokenError(f"no token: {problem}")
        document = _document(body)
        if not 200 <= status < 300:
            raise self._refused(status, retry_after, document)
        return self._token(document, len(body), asked_at_ms)

    async def _ask(self, progress: Progress) -> tuple[int, str | None, bytes]:
        async with posted(self._session(), progress, self._form, self._headers) as response:
            progress.step = "reading the answer"
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_BYTES_READ:
                    break
            return response.status, response.headers.get("Retry-After"), bytes(body)

    def _refused(self, status: int, retry_after: str | None, document: Any) -> TokenError:
        said = document.get("error") if isinstance(document, dict) else None
        word = f" ({said})" if isinstance(said, str) and said in _REFUSALS else ""
        hint = ""
        if 300 <= status < 400:
            hint = "; redirects are not followed: name the endpoint itself in auth.token_url"
        elif status in (400, 401, 403):
            hint = f"; mend the auth of destination {self._settings.name}"
        text = f"no token: {self.where} answered HTTP {status}{word}{hint}"
        return TokenError(text, parse_retry_after(retry_after, self._clock.now_ms()))

    def _token(self, document: Any, length: int, asked_at_ms: int) -> Token:
        if length > ANSWER_BYTES_READ:
            raise TokenError(f"no token: {self.where} answered more than {ANSWER_BYTES_READ // 1024} KiB")
        if not isinstance(document, dict):
            raise TokenError(f"no token: {self.where} answered what is no JSON object")
        text, kind = document.get("access_token"), document.get("token_type", "Bearer")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise TokenError(f"no token: {self.where} answered without an access_token that can be sent")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise TokenError(f"no token: {self.where} answered with a token_type that is not Bearer")
        return Token.lasting(text, _life_s(document.get("expires_in")), asked_at_ms)


class OAuth:
    """Bearer tokens from an endpoint. A 401 ends the token that it was the answer to, and is worth another try."""

    def __init__(
        self,
        settings: DestinationSettings,
        auth: AuthSettings,
        session: Callable[[], aiohttp.ClientSession],
        clock: Clock,
    ) -> None:
        """As TokenEndpoint."""
        endpoint = TokenEndpoint(settings, auth, session, clock)
        self.step = f"waiting for a token of {endpoint.where}"
        self._tokens = Tokens(endpoint.fetch, clock)

    async def headers(self, _claim: Claim, _timestamp: str) -> Pairs:
        """The token in hand, or the next one. Raises TokenError."""
        return [("Authorization", f"Bearer {await self._tokens.token()}")]

    def rejected(self, proof: Pairs) -> bool:
        """True, and the token of this proof is used no more."""
        for _, value in proof:
            self._tokens.reject(value.removeprefix("Bearer "))
        return True

    async def close(self) -> None:
        """Break off a request that is under way. Safe to call twice."""
        await self._tokens.close()


def _request(settings: DestinationSettings, auth: AuthSettings) -> tuple[dict[str, str], bytes]:
    """The headers and the form of a token request."""
    if not auth.client_id or not auth.client_secret:
        raise ConfigurationError((f"destinations.{settings.name}.auth: found too little for scheme {auth.scheme}",))
    form = {"grant_type": "client_credentials"}
    if auth.scope is not None:
        form["scope"] = auth.scope
    headers = {
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if auth.credentials == "form":
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    else:
        # RFC 6749, 2.3.1: each is form-encoded before the colon is put between them.
        headers["Authorization"] = basic(quote_plus(auth.client_id), quote_plus(auth.client_secret))
    return headers, urlencode(form).encode()


def _document(body: bytes) -> Any:
    """The JSON in an answer; None where there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _life_s(expires_in: Any) -> float:
    """How long a token lives, in seconds; as text, too, because some endpoints say it so."""
    if isinstance(expires_in, str) and re.fullmatch(r"[0-9]{1,12}", expires_in):
        expires_in = int(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return LIFE_S_DEFAULT
    if isinstance(expires_in, float) and math.isnan(expires_in):
        return LIFE_S_DEFAULT
    return max(0, min(expires_in, LIFE_S_MAX))
