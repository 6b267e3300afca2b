"""What every request to the operators' port comes past: whose name it asks for, where it comes from, and who it is.

Whatever is below one of PROTECTED is refused to who is not known, so that a route that forgets to ask is closed and not
open. What somebody who is known may do, the routes say (`requires`).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from longstop.edges.operators.access.cookies import Cookies
from longstop.edges.operators.access.current import local, set_caller
from longstop.edges.operators.access.problems import problem, unavailable
from longstop.edges.operators.access.same_origin import SAFE, refusal, shows_origin
from longstop.edges.operators.access.security_headers import secured
from longstop.edges.operators.hosts import OwnHosts
from longstop.edges.senders_http.answers import Send, respond
from longstop.edges.senders_http.body_limits import Message
from longstop.edges.senders_http.proxies import TrustedProxies
from longstop.model.caller import Caller, Scope
from longstop.model.errors import StoreError
from longstop.model.event import Headers
from longstop.model.exchange import Answer
from longstop.operating.access import FIRST_USER, Access
from longstop.ports import Clock

App = Callable[[MutableMapping[str, Any], Any, Send], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

log = structlog.get_logger("longstop.access")

PROTECTED = ("/api/", "/dlq", "/metrics", "/mcp")
READINESS = "/readyz"
SIGNING_IN = "/api/v1/session"
COMING_BACK = "/api/v1/session/oidc/callback"
OPEN = frozenset({SIGNING_IN, "/api/v1/session/oidc", COMING_BACK})
"""What is below PROTECTED and for everybody: they are the ways in."""
_PAGES_BELOW = frozenset({"/api/v1/session/oidc", COMING_BACK})
"""What is below PROTECTED and opened in a tab."""
UNKNOWN_BODY_BYTES_MAX = 16 * 1024
"""Of a request from who is not known: a name and a password."""
LOOK_AGAIN_S = 15
"""An answer that goes on for long ends when its caller is no longer known: a session was ended, a token revoked."""
STORE_RETRY_AFTER_S = 2


class Guard:
    """Stands before an app. access None: nobody is asked who he is, and only this machine reaches the port."""

    def __init__(
        self,
        app: App,
        access: Access | None,
        hosts: OwnHosts,
        proxies: TrustedProxies,
        cookies: Cookies,
        clock: Clock,
    ) -> None:
        self._app = app
        self._access = access
        self._hosts = hosts
        self._proxies = proxies
        self._cookies = cookies
        self._clock = clock

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        send = secured(send)
        address = self._address(scope)
        # What an address alone would let in, where nobody is asked who he is, is no more than whether it is ready.
        by_address = self._access is not None or scope["path"] == READINESS
        refused = self._hosts.refusal(scope["method"], scope["headers"], by_address) or self._foreign(scope)
        if refused is not None:
            return await respond(send, refused)
        path = scope["path"]
        try:
            # The console's files and /readyz are for everybody, also while the store does not say who that is.
            caller = await self._caller(scope, address) if path.startswith(PROTECTED) else None
        except StoreError as error:
            return await respond(send, unavailable(str(error), STORE_RETRY_AFTER_S))
        if caller is None and path.startswith(PROTECTED) and path not in OPEN:
            return await respond(send, _UNKNOWN)
        if path == "/metrics" and caller is not None and not caller.may(Scope.VIEW):
            return await respond(send, problem(403, f"{caller.name} lacks the scope view", scope=Scope.VIEW))
        scope["longstop.address"] = address
        set_caller(scope, caller)
        if caller is None:
            receive = _Limited(receive, UNKNOWN_BODY_BYTES_MAX)
        elif self._access is not None:
            watch = _Watch(lambda: self._caller(scope, address), self._clock, receive, send)
            return await self._app(scope, watch.receive, watch.send)
        return await self._app(scope, receive, send)

    def _address(self, scope: MutableMapping[str, Any]) -> str | None:
        peer = scope["client"][0] if scope.get("client") else None
        return self._proxies.client(peer, Headers.from_wire(scope["headers"]))

    def _foreign(self, scope: MutableMapping[str, Any]) -> Answer | None:
        method, path, headers = scope["method"], scope["path"], scope["headers"]
        by_cookie = self._cookies.session(headers) is not None and not _authorization(headers)
        is_page = not path.startswith(PROTECTED) or path in _PAGES_BELOW
        why = refusal(method, headers, ambient=self._access is None or by_cookie or path == SIGNING_IN, is_page=is_page)
        if why is None and by_cookie and method not in SAFE and path != SIGNING_IN and not shows_origin(headers):
            why = "it says neither Sec-Fetch-Site nor Origin, as every browser does; a program shows a token"
        return None if why is None else problem(403, f"not done: {why}")

    async def _caller(self, scope: MutableMapping[str, Any], address: str | None) -> Caller | None:
        if self._access is None:
            return local(address)
        headers = scope["headers"]
        shown = _authorization(headers)
        if shown:
            scheme, _, token = shown[0].partition(" ")
            if len(shown) > 1 or scheme.lower() != "bearer":
                return None
            return await self._access.by_token(token.strip(" "), address)
        cookie = self._cookies.session(headers)
        return None if cookie is None else await self._access.by_cookie(cookie, address)


class _Limited:
    """`receive` of a request that may not send much. What is more ends it."""

    def __init__(self, receive: Receive, bytes_max: int) -> None:
        self._receive = receive
        self._left = bytes_max

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._left < 0 else message


class _Watch:
    """`receive` and `send` of a request whose answer may go on for long: it ends when its caller is no longer known."""

    def __init__(
        self, caller: Callable[[], Awaitable[Caller | None]], clock: Clock, receive: Receive, send: Send
    ) -> None:
        self._caller = caller
        self._clock = clock
        self._receive = receive
        self._send = send
        self._looked_ms = clock.monotonic_ms()
        self._over = asyncio.Event()

    async def send(self, message: Message) -> None:
        if self._over.is_set():
            return
        if message["type"] == "http.response.body" and message.get("more_body") and not await self._still():
            self._over.set()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self._send(message)

    async def receive(self) -> Message:
        told, over = asyncio.ensure_future(self._receive()), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((told, over), return_when=asyncio.FIRST_COMPLETED)
            return told.result() if told.done() else {"type": "http.disconnect"}
        finally:
            told.cancel()
            over.cancel()

    async def _still(self) -> bool:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._looked_ms < LOOK_AGAIN_S * 1000:
            return True
        self._looked_ms = now_ms
        try:
            return await self._caller() is not None
        except StoreError:
            return False


def _authorization(headers: Any) -> list[str]:
    return [text.decode("latin-1") for name, text in headers if name.lower() == b"authorization"]


_UNKNOWN = problem(
    401,
    "nobody is signed in, or not any more; POST /api/v1/session signs in, a program shows Authorization: Bearer and a "
    f"token (`longstop tokens create`). The first user is made by `{FIRST_USER}`",
    (("www-authenticate", 'Bearer realm="longstop"'),),
)
