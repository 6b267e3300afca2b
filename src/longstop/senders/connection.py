"""The guards around every connection that leaves here, and words for what goes wrong with one.

Tokens are asked for and alerts are posted under the rules that hold for deliveries: addresses are checked where they
are dialled, and nothing (proxy, cookie, credential) comes from the environment. A destination and its token endpoint
share one session.
"""

import os
import ssl
from dataclasses import dataclass
from importlib import metadata
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from yarl import URL

from longstop.model.errors import ConfigurationError
from longstop.senders.addresses import PrivateAddressError, public_socket

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
    """How far a request has come; the session keeps it up to date where it is the request's `trace_request_ctx`."""

    url: URL
    step: str = "connecting"

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
        connector=aiohttp.TCPConnector(limit=limit, socket_factory=guard, ssl=True if tls is None else tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[_step_tracing()],
    )


def explain(error: Exception, progress: Progress, peer: Peer) -> str:
    """What failed and at which step, for the person who looks at it. It shows no secret.

    The texts of the library's own errors are not used: they hold URLs, and its objects the headers.
    """
    where = progress.where
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
            return f"what {where} answered is not HTTP"
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
