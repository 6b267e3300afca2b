"""The HTTP sender: one POST of the event's body, exactly as it was sent, and what its answer means.

A destination may be slow, endless, broken or hostile; it costs an attempt its deadline, a connection and
64 KiB at the most. Redirects are not followed and no proxy, cookie or credential comes from the environment.
"""

import asyncio
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from longstop.model.delivery import ANSWER_BYTES_KEPT, Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.lease import Claim
from longstop.model.outgoing_request import UNSENDABLE, Pairs, delivery_headers, event_headers, proof_names
from longstop.model.retry import classify_status, parse_retry_after
from longstop.model.settings import DestinationSettings
from longstop.ports import Clock
from longstop.senders.auth import Auth, build_auth
from longstop.senders.connection import (
    ANSWER_BYTES_READ,
    USER_AGENT,
    Progress,
    checked_url,
    explain,
    open_session,
    posted,
)
from longstop.senders.oauth import OAuth, TokenError
from longstop.senders.tls import client_context

_BODY_BYTES_AT_ONCE = 512 * 1024
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "idempotency-key",
        "longstop-attempt",
        "longstop-source",
        "transfer-encoding",
        "webhook-id",
        "webhook-timestamp",
    }
)
"""Headers that a configuration may not set: they frame the request or say which delivery it is."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(slots=True)
class _Exchange:
    """What is known of an attempt under way; filled as it happens, so that a broken end leaves the beginning."""

    progress: Progress
    answer: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class _Proof:
    """What proves one request, and the time that it and the request carry, in Unix seconds."""

    timestamp: str
    headers: Pairs = field(repr=False)


class HttpSender:
    """Posts deliveries to one HTTP endpoint.

    Every request carries `webhook-id` (the event's id) and `webhook-timestamp` (Unix seconds of this attempt),
    as Standard Webhooks name them, `Idempotency-Key` (the delivery's id, so the same in every retry and
    replay), `Longstop-Attempt`, `Longstop-Source`, and the event's own Content-Type and Content-Encoding; where
    the event had none, none is sent. Beside them come the configured headers and the proof that `auth` asks for.

    The status decides as soon as it is there: an answer whose body then breaks off, drips past the deadline or
    goes on for ever is judged by its status alone. A destination that has said 2xx has taken the event, and
    to send it again because its small talk was cut would make duplicates of every delivery.

    A 401 to a token that can be renewed is no answer yet: the token is renewed and the event sent once more, in
    the same attempt and before the same deadline. Where there is no token nothing is sent, and that is a retry:
    the event has not been refused by anybody.
    """

    def __init__(self, settings: DestinationSettings, clock: Clock) -> None:
        """Connects to nothing yet; reads the files of `tls`.

        Raises ConfigurationError for a URL or a header that cannot be sent, and for `auth` and `tls` that cannot
        be used.
        """
        self._settings = settings
        self._clock = clock
        self._url = checked_url(f"destinations.{settings.name}.url", settings.url)
        _check_headers(settings, self._url)
        self._configured = CIMultiDict(settings.headers)
        self._tls = client_context(settings.tls, settings.name) if settings.tls is not None else None
        self._auth = self._built_auth()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        """Post it once and classify the answer; `attempt` is 1 for the first.

        Never raises but for its own cancellation.
        """
        exchange = _Exchange(Progress(self._url))
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                await self._attempt(claim, attempt, exchange)
        except TokenError as error:
            return Outcome(OutcomeKind.RETRY, error=str(error), retry_after_s=error.retry_after_s)
        except Exception as error:
            # Whatever a hostile answer makes a parser raise: it is the destination's fault, and is kept as such.
            if exchange.progress.status is None:
                return Outcome(OutcomeKind.RETRY, error=explain(error, exchange.progress, self._settings))
        return self._judge(exchange)

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""
        await self._auth.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _attempt(self, claim: Claim, attempt: int, exchange: _Exchange) -> None:
        if await self._post(claim, attempt, exchange, self._auth.rejected):
            await self._post(claim, attempt, exchange, lambda _proof: False)

    async def _post(
        self, claim: Claim, attempt: int, exchange: _Exchange, worth_another: Callable[[Pairs], bool]
    ) -> bool:
        """Post it; whether it was answered 401 and that is worth another try."""
        progress = exchange.progress
        proof = await self._prove(claim, progress)
        headers = self._headers(claim, attempt, proof)
        payload = _payload(claim.event.body)
        try:
            async with posted(self._opened(), progress, payload, headers, ("Content-Type",)) as response:
                # Its body is not waited for: that time belongs to the second try.
                if response.status == 401 and worth_another(proof.headers):
                    return True
                await _read_answer(response, exchange.answer)
        except Exception:
            # Once a status has been said, whatever breaks behind it is of no matter.
            if progress.status is None:
                raise
            return progress.status == 401 and worth_another(proof.headers)
        return False

    async def _prove(self, claim: Claim, progress: Progress) -> _Proof:
        progress.begin(self._auth.step)
        timestamp = str(self._clock.now_ms() // 1000)
        proof = _Proof(timestamp, await self._auth.headers(claim, timestamp))
        progress.step = "connecting"
        return proof

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made on first use because it belongs to the loop that runs then."""
        if self._session is None:
            # One more than there are deliveries: a token is renewed beside them and keeps none of them waiting.
            self._session = open_session(self._settings, self._settings.concurrency + 1, self._tls)
        return self._session

    def _built_auth(self) -> Auth:
        auth = self._settings.auth
        if auth is not None and auth.scheme == "oauth2-client-credentials":
            return OAuth(self._settings, auth, self._opened, self._clock)
        return build_auth(auth, self._settings.name)

    def _headers(self, claim: Claim, attempt: int, proof: _Proof) -> CIMultiDict[str]:
        event = claim.event
        headers = CIMultiDict(event_headers(event, USER_AGENT))
        headers.update(self._configured)
        headers.update(delivery_headers(event, claim.delivery.id, attempt, proof.timestamp))
        headers.update(proof.headers)
        return headers

    def _judge(self, exchange: _Exchange) -> Outcome:
        status = exchange.progress.status or 0
        kind = classify_status(status, self._settings.retried_statuses)
        return Outcome(
            kind,
            status=status,
            error=None if kind is OutcomeKind.SUCCESS else f"HTTP {status}",
            retry_after_s=parse_retry_after(exchange.progress.retry_after, self._clock.now_ms()),
            answer=bytes(exchange.answer),
        )


def _check_headers(settings: DestinationSettings, url: URL) -> None:
    """Raise ConfigurationError with every configured header that cannot be sent, by name, never by value."""
    ours = frozenset(name.lower() for name in proof_names(settings.auth))
    problems = [
        f"destinations.{settings.name}.headers: {name!r} {fault}"
        for name, value in settings.headers
        if (fault := _fault(name, value, url, ours))
    ]
    if url.user is not None and "authorization" in ours:
        problems.append(f"destinations.{settings.name}.auth: is given twice, here and in the URL; keep one")
    if problems:
        raise ConfigurationError(tuple(problems))


def _fault(name: str, value: str, url: URL, ours: frozenset[str]) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is not a header name; expected letters, digits and hyphens"
    if name.lower() in _OURS:
        return "is set by Longstop itself; leave it out"
    if name.lower() in ours:
        return "is set by auth; leave it out"
    if UNSENDABLE.search(value):
        return "has a value with a control character (a line break?); expected one line of text"
    if name.lower() == "authorization" and url.user is not None:
        return "is given twice, here and as the URL's user and password; keep one"
    return None


def _payload(body: bytes) -> Any:
    """A large body goes out in pieces, so that other deliveries get their turn between them."""
    return body if len(body) <= _BODY_BYTES_AT_ONCE else io.BytesIO(body)


async def _read_answer(response: aiohttp.ClientResponse, kept: bytearray) -> None:
    """Keep the beginning of the answer, and read on so that its connection can be used again."""
    read = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        kept += chunk[: ANSWER_BYTES_KEPT - len(kept)]
        if read >= ANSWER_BYTES_READ:
            return
