"""The guards around every connection that leaves here, and words for what goes wrong with one.

Tokens are asked for and alerts are posted under the rules that hold for deliveries: addresses are checked where they
are dialled, and nothing (proxy, cookie, credential) comes from the environment. A destination and its token endpoint
share one session. What they may answer is limited in `response_limits`.
"""

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from yarl import URL

from longstop.model.errors import ConfigurationError
from longstop.senders.addresses import PrivateAddressError, public_socket
from longstop.senders.response_limits import LimitedConnector, ResponseLimits, asked

ANSWER_BYTES_READ = 64 * 1024
"""An answer longer than this is cut off with its connection. A shorter one is read to its end, so that the
connection can be used again."""


def _version() -> str:
    try:
        return metadata.version("longstop")
    except metadata.PackageNotFoundError:
        return "unknown"


USER_AGENT = f"longstop/{_version()}"


class Peer(Protocol):
    """What has to be known here of who is at the other end."""

    @property
    def label(self) -> str:
        """What a person calls its settings: `destination crm`."""

    @property
    def allow_private(self) -> bool:
        """May its URL lead to loopback or private addresses?"""

    @property
    def timeout_ms(self) -> int:
        """How long one exchange with it may take."""


@dataclass(slots=True)
class Progress:
    """How far a request has come and what was answered; `posted` keeps it up to date."""

    url: URL
    step: str = "connecting"
    status: int | None = None
    """Known as soon as the head of an answer is complete, whatever becomes of the rest."""
    retry_after: str | None = None
    fault: str | None = None
    """Why an answer was cut, in words that go after `where`."""
    connection: ResponseLimits | None = field(default=None, repr=False)

    def begin(self, step: str) -> None:
        """Another request is about to be made; what was answered to the last is of no matter any more."""
        self.step, self.status, self.retry_after, self.fault = step, None, None, None

    @property
    def where(self) -> str:
        """Host and port. No more of a URL is ever named: its user, path and query may be secrets."""
        return self.url.host_port_subcomponent or ""


def checked_url(path: str, text: str | None) -> URL:
    """The URL in a setting. Raises ConfigurationError, with the setting's path, where nothing can be posted to it."""
    # The URL itself is not shown: it may hold a password or a token.
    problem = f"{path}: not a URL that can be posted to; expected http(s)://HOST[:PORT][/PATH]"
    try:
        url = URL(text or "")
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


def open_session(peer: Peer, limit: int, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session of at most `limit` connections, which belongs to the loop that runs now.

    tls: None for the system's authorities.

    It knows no deadline: whoever uses it keeps one, around everything.
    """
    guard = None if peer.allow_private else public_socket
    return aiohttp.ClientSession(
        connector=LimitedConnector(limit=limit, socket_factory=guard, ssl=True if tls is None else tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[_step_tracing()],
    )


@contextlib.asynccontextmanager
async def posted(
    session: aiohttp.ClientSession,
    progress: Progress,
    data: Any,
    headers: Mapping[str, str],
    skip_auto_headers: Iterable[str] = (),
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to one POST to `progress.url`, for as long as the block runs; the only way in which we call anybody.

    What this raises is for `explain`. Where `progress.status` is set all the same, that is the answer.
    """
    token = asked.set(progress)
    try:
        response = await session.post(
            progress.url,
            data=data,
            headers=headers,
            skip_auto_headers=skip_auto_headers,
            allow_redirects=False,
            trace_request_ctx=progress,
        )
    finally:
        asked.reset(token)
    try:
        yield response
    finally:
        # A no-op where the answer was read to its end: then the connection is back in the pool already.
        response.close()
        if progress.connection is not None:
            progress.connection.end(progress)


def explain(error: Exception, progress: Progress, peer: Peer) -> str:
    """What failed and at which step, for the person who looks at it. It shows no secret.

    The texts of the library's own errors are not used: they hold URLs, and its objects the headers.
    """
    where = progress.where
    if progress.fault is not None:
        return f"{where} {progress.fault}"
    match error:
        case TimeoutError():
            return f"timed out after {peer.timeout_ms / 1000:g} s while {progress.step} ({where})"
        case aiohttp.ClientConnectorError(os_error=PrivateAddressError() as refused):
            return (
                f"address {refused.address} of host {progress.url.host} is private; set allow_private = true "
                f"on {peer.label} if it is meant to be reached"
            )
        case aiohttp.ClientConnectorDNSError():
            return f"the name {progress.url.host} could not be resolved: {_reason(error.os_error)}"
        case aiohttp.ClientSSLError():
            return f"TLS with {where} failed: {error.os_error}"
        case aiohttp.ClientConnectorError():
            return f"connecting to {where} failed: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return f"{where} closed the connection without an answer"
        case aiohttp.ClientResponseError():
            return f"{where} answered what is not HTTP"
        case OSError():
            if (alert := _tls_error(error)) is not None:
                # In TLS 1.3 a server looks at a client's certificate after the client has begun to talk.
                return f"TLS with {where} failed: {alert}"
            return f"the connection to {where} broke while {progress.step}: {_reason(error)}"
    return f"{type(error).__name__} while {progress.step} ({where})"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """What TLS itself said, where an error is that or was caused by it."""
    if isinstance(error, ssl.SSLError):
        return error
    return error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else None


def _reason(error: OSError) -> str:
    """The operating system's words for it; the library's own name the address a second time."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _step_tracing() -> aiohttp.TraceConfig:
    """Keeps each request's `Progress.step` up to date."""
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
