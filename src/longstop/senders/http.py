"""The HTTP sender: one POST of the event's body, exactly as it was sent, and what its answer means.

A destination may be slow, endless, broken or hostile; it costs an attempt its deadline, a connection and
64 KiB at the most. Redirects are not followed and no proxy, cookie or credential comes from the environment.
"""

import asyncio
import contextlib
import io
import os
import re
from dataclasses import dataclass, field
from importlib import metadata
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from longstop.model.delivery import ANSWER_BYTES_KEPT, Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.lease import Claim
from longstop.model.retry import classify_status, parse_retry_after
from longstop.model.settings import DestinationSettings
from longstop.ports import Clock
from longstop.senders.addresses import PrivateAddressError, public_socket

ANSWER_BYTES_READ = 64 * 1024
"""An answer longer than this is cut off with its connection. A shorter one is read to its end, so that the
connection can be used again."""

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
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters, which could end a header and begin another, and lone surrogates, which have no encoding."""


@dataclass(slots=True)
class _Exchange:
    """What is known of a request under way; filled as it happens, so that a broken end leaves the beginning."""

    step: str = "connecting"
    status: int | None = None
    retry_after: str | None = None
    answer: bytearray = field(default_factory=bytearray)


class HttpSender:
    """Posts deliveries to one HTTP endpoint.

    Every request carries `webhook-id` (the event's id) and `webhook-timestamp` (Unix seconds of this attempt),
    as Standard Webhooks name them, `Idempotency-Key` (the delivery's id, so the same in every retry and
    replay), `Longstop-Attempt`, `Longstop-Source`, and the event's own Content-Type and Content-Encoding; where
    the event had none, none is sent.

    The status decides as soon as it is there: an answer whose body then breaks off, drips past the deadline or
    goes on for ever is judged by its status alone. A destination that has said 2xx has taken the event, and
    to send it again because its small talk was cut would make duplicates of every delivery.
    """

    def __init__(self, settings: DestinationSettings, clock: Clock) -> None:
        """Connects to nothing yet. Raises ConfigurationError for a URL or a header that cannot be sent."""
        self._settings = settings
        self._clock = clock
        self._url = _checked_url(settings)
        self._where = self._url.host_port_subcomponent or ""
        _check_headers(settings, self._url)
        self._configured = CIMultiDict(settings.headers)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        """Post it once and classify the answer; `attempt` is 1 for the first.

        Never raises but for its own cancellation.
        """
        exchange = _Exchange()
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                await self._post(claim, attempt, exchange)
        except Exception as error:
            # Whatever a hostile answer makes a parser raise: it is the destination's fault, and is kept as such.
            if exchange.status is None:
                return Outcome(OutcomeKind.RETRY, error=self._explain(error, exchange.step))
        return self._judge(exchange)

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, claim: Claim, attempt: int, exchange: _Exchange) -> None:
        response = await self._opened().post(
            self._url,
            data=_payload(claim.event.body),
            headers=self._headers(claim, attempt),
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            trace_request_ctx=exchange,
        )
        try:
            exchange.status = response.status
            exchange.retry_after = response.headers.get("Retry-After")
            await _read_answer(response, exchange.answer)
        finally:
            # A no-op where the answer was read to its end: then the connection is back in the pool already.
            response.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made on first use because it belongs to the loop that runs then."""
        if self._session is None:
            guard = None if self._settings.allow_private else public_socket
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.concurrency, socket_factory=guard),
                cookie_jar=aiohttp.DummyCookieJar(),
                # One deadline, around everything, is kept in `send`.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
                trust_env=False,
                trace_configs=[_step_tracing()],
            )
        return self._session

    def _headers(self, claim: Claim, attempt: int) -> CIMultiDict[str]:
        headers = CIMultiDict({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
        headers.update(_content_headers(claim.event))
        headers.update(self._configured)
        headers["webhook-id"] = claim.event.id
        headers["webhook-timestamp"] = str(self._clock.now_ms() // 1000)
        headers["Idempotency-Key"] = claim.delivery.id
        headers["Longstop-Attempt"] = str(attempt)
        if not _UNSENDABLE.search(claim.event.source):
            headers["Longstop-Source"] = claim.event.source
        return headers

    def _judge(self, exchange: _Exchange) -> Outcome:
        status = exchange.status or 0
        kind = classify_status(status, self._settings.retried_statuses)
        return Outcome(
            kind,
            status=status,
            error=None if kind is OutcomeKind.SUCCESS else f"HTTP {status}",
            retry_after_s=parse_retry_after(exchange.retry_after, self._clock.now_ms()),
            answer=bytes(exchange.answer),
        )

    def _explain(self, error: Exception, step: str) -> str:
        """What failed and at which step, for the person who looks at it.

        Only host and port of the URL are named: its user, path and query may be secrets, and the texts of
        the library's own errors hold them.
        """
        match error:
            case TimeoutError():
                return f"timed out after {self._settings.timeout_ms / 1000:g} s while {step} ({self._where})"
            case aiohttp.ClientConnectorError(os_error=PrivateAddressError() as refused):
                return (
                    f"address {refused.address} of host {self._url.host} is private; set allow_private = true "
                    f"on destination {self._settings.name} if it is meant to be reached"
                )
            case aiohttp.ClientConnectorDNSError():
                return f"the name {self._url.host} could not be resolved: {_reason(error.os_error)}"
            case aiohttp.ClientSSLError():
                return f"TLS with {self._where} failed: {error.os_error}"
            case aiohttp.ClientConnectorError():
                return f"connecting to {self._where} failed: {_reason(error.os_error)}"
            case aiohttp.ServerDisconnectedError():
                return f"{self._where} closed the connection without an answer"
            case aiohttp.ClientResponseError():
                return f"what {self._where} answered is not HTTP"
            case OSError():
                return f"the connection to {self._where} broke while {step}: {_reason(error)}"
        return f"{type(error).__name__} while {step} ({self._where})"


def _checked_url(settings: DestinationSettings) -> URL:
    # The URL itself is not shown: it may hold a password or a token.
    problem = (
        f"destinations.{settings.name}.url: not a URL that can be posted to; expected http(s)://HOST[:PORT][/PATH]"
    )
    try:
        url = URL(settings.url or "")
    except ValueError:
        raise ConfigurationError((problem,)) from None
    if url.scheme not in ("http", "https") or not url.host or _half_an_address(url.host):
        raise ConfigurationError((problem,))
    return url


def _half_an_address(host: str) -> bool:
    """Digits and dots that are no IPv4 address, as `127.1`: resolvers read them as one, the library refuses them."""
    if not host.replace(".", "").isdigit():
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


def _check_headers(settings: DestinationSettings, url: URL) -> None:
    """Raise ConfigurationError with every configured header that cannot be sent, by name, never by value."""
    problems = [
        f"destinations.{settings.name}.headers: {name!r} {fault}"
        for name, value in settings.headers
        if (fault := _fault(name, value, url))
    ]
    if problems:
        raise ConfigurationError(tuple(problems))


def _fault(name: str, value: str, url: URL) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "is not a header name; expected letters, digits and hyphens"
    if name.lower() in _OURS:
        return "is set by Longstop itself; leave it out"
    if _UNSENDABLE.search(value):
        return "has a value with a control character (a line break?); expected one line of text"
    if name.lower() == "authorization" and url.user is not None:
        return "is given twice, here and as the URL's user and password; keep one"
    return None


def _payload(body: bytes) -> Any:
    """A large body goes out in pieces, so that other deliveries get their turn between them."""
    return body if len(body) <= _BODY_BYTES_AT_ONCE else io.BytesIO(body)


def _content_headers(event: Event) -> dict[str, str]:
    """What the event's sender said of its body, as far as it can be said again."""
    sent = {
        "Content-Type": event.content_type,
        # Several lines of it mean the same as one list (RFC 9110, 5.3).
        "Content-Encoding": ", ".join(event.headers.get_all("content-encoding")) or None,
    }
    return {name: wire for name, value in sent.items() if (wire := _same_on_the_wire(value)) is not None}


def _same_on_the_wire(value: str | None) -> str | None:
    """The text whose UTF-8, which is what the library writes, is this header's original bytes.

    None where there is none: the bytes are not UTF-8, or they would break the header.
    """
    if value is None or _UNSENDABLE.search(value):
        return None
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


async def _read_answer(response: aiohttp.ClientResponse, kept: bytearray) -> None:
    """Keep the beginning of the answer. Whatever breaks in it is of no matter: the status has been said."""
    read = 0
    with contextlib.suppress(Exception):
        async for chunk in response.content.iter_any():
            read += len(chunk)
            kept += chunk[: ANSWER_BYTES_KEPT - len(kept)]
            if read >= ANSWER_BYTES_READ:
                return


def _reason(error: OSError) -> str:
    """The operating system's words for it; the library's own name the address a second time."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _step_tracing() -> aiohttp.TraceConfig:
    """Keeps each request's `_Exchange.step` up to date."""
    tracing = aiohttp.TraceConfig()
    tracing.on_dns_resolvehost_start.append(_at_step("resolving the name"))
    tracing.on_dns_resolvehost_end.append(_at_step("connecting"))
    tracing.on_connection_create_end.append(_at_step("waiting for the answer"))
    tracing.on_connection_reuseconn.append(_at_step("waiting for the answer"))
    return tracing


def _at_step(step: str) -> Any:
    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx.step = step

    return note


def _version() -> str:
    try:
        return metadata.version("longstop")
    except metadata.PackageNotFoundError:
        return "unknown"


_USER_AGENT = f"longstop/{_version()}"
