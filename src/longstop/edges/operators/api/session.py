"""`session`: signing in and out, and who asks; `sessions`: who is signed in."""

import base64
import hashlib
import secrets
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from longstop import __version__
from longstop.client.access import KeptSession
from longstop.client.access import Session as ShownSession
from longstop.client.models import Items
from longstop.edges.operators.access.cookies import Cookies
from longstop.edges.operators.access.current import caller_of
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.once import Key, Once
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.access import session_row
from longstop.edges.rows.values import Row
from longstop.model.accounts import PASSWORD_CHARS_MAX, SECRET_BYTES, name_key
from longstop.model.caller import Caller, CallerKind, Scope
from longstop.model.errors import IdentityError, LoginError, LoginLimitError
from longstop.model.listing import Page
from longstop.operating.access import FIRST_USER, Access, SignedIn, session_id
from longstop.ports import Identities

log = structlog.get_logger("longstop.access")

BACK = "/api/v1/session/oidc/callback"
CONSOLE = "/"
"""Where somebody who signed in is sent. Nothing in a request says another place: there is nothing to redirect to."""
CODE_CHARS_MAX = 4_096
SIGNED_IN_BEFORE = (
    "somebody signed in when this Idempotency-Key was used first; the cookie was set then and is not known any more. "
    "If it did not arrive, sign in with another key (the session that nobody has is under `GET /api/v1/sessions`)"
)


class Login(StrictBody):
    """Who wants to sign in."""

    name: str = Field(max_length=200)
    password: str = Field(max_length=4 * PASSWORD_CHARS_MAX, json_schema_extra={"format": "password"})


class NewPassword(StrictBody):
    """Another password for oneself."""

    current: str = Field(max_length=4 * PASSWORD_CHARS_MAX, json_schema_extra={"format": "password"})
    password: str = Field(max_length=4 * PASSWORD_CHARS_MAX, json_schema_extra={"format": "password"})


def cookies_of(services: Services) -> Cookies:
    """The cookies, as people reach the port."""
    settings = services.config.operators
    return Cookies(encrypted=(settings.url or "").startswith("https:"), lifetime_ms=settings.session_lifetime_ms)


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["access"])
    cookies = cookies_of(services)

    @api.get("/session", response_model=ShownSession, summary="Who asks, and what he may")
    async def who_asks(request: Request) -> Any:
        return await _shown(services, caller_of(request.scope))

    @api.post("/session", response_model=ShownSession, summary="Sign in")
    async def sign_in(request: Request, login: Login, key: Key = None) -> Any:
        """Sets a cookie. A session that the browser had before ends.

        The same request under the same Idempotency-Key, with the right password once more, is 409: the cookie was set
        the first time, and is not kept.
        """
        before = session_id(cookies.session(request.scope["headers"]) or "")
        access, address = _access(services), _address(request)
        try:
            # Before the key is looked at: who is not known writes nothing, whatever keys he makes up.
            user = await access.check_password(login.name, login.password, address)
        except LoginError as error:
            await _hint_where_there_is_nobody(services, error)
            raise
        made: list[SignedIn] = []

        async def act() -> Row:
            made.append(await access.sign_in(user, address, before))
            return await _shown(services, made[0].caller)

        once = Once(services, access.signed_in(user, address), request, key)
        answer = await once(ShownSession, act, compared=user.key.encode(), told_once=SIGNED_IN_BEFORE)
        if made:
            answer.headers["set-cookie"] = cookies.set_session(made[0].cookie)
        return answer

    @api.delete("/session", status_code=204, summary="Sign out")
    async def sign_out(request: Request) -> Response:
        who = caller_of(request.scope)
        if who is not None and services.access is not None:
            await services.access.logout(who)
        return Response(status_code=204, headers={"set-cookie": cookies.end_session()})

    @api.put("/session/password", status_code=204, summary="Change one's own password")
    async def change_password(request: Request, who: Viewer, new: NewPassword) -> Response:
        """Every session of this user ends, this one too."""
        if who.kind is not CallerKind.USER or who.session is None:
            raise ProblemError(403, "a password belongs to a person who is signed in")
        await _access(services).check_password(who.name, new.current, _address(request))
        await services.accounts(who).change_user(who.name, password=new.password)
        return Response(status_code=204, headers={"set-cookie": cookies.end_session()})

    @api.get(
        "/sessions", response_model=Items[KeptSession], summary="Who is signed in: an admin sees all, others their own"
    )
    async def sessions(who: Viewer, page: AskedPage) -> Any:
        found = await services.store.sessions(None if who.may(Scope.ADMIN) else _own(who), page)
        rows = (session_row(each, who.session) for each in found.rows)
        return await items(services, KeptSession, rows, found)

    @api.delete("/sessions/{id}", status_code=204, summary="End a session")
    async def end_session(who: Viewer, id: str) -> Response:
        session = await services.store.session(id)
        if session is None or not (who.may(Scope.ADMIN) or session.user == _own(who)):
            raise ProblemError(404, f"no session of yours has the id {id[:100]}")
        await services.accounts(who).revoke_session(id)
        return Response(status_code=204)

    _add_provider(api, services, cookies)
    return api


def _add_provider(api: APIRouter, services: Services, cookies: Cookies) -> None:
    """The way in by the identity provider.

    What binds the answer to the browser that asked is one cookie of random bytes: the state, the nonce and the
    verifier of PKCE are each a hash of it, so nothing is kept here, and none of them tells another.
    """

    @api.get(
        "/session/oidc",
        status_code=303,
        summary="Sign in with the identity provider",
        response_class=Response,
        responses={404: {"description": "No provider is configured."}},
    )
    async def to_provider() -> Response:
        flow = secrets.token_urlsafe(SECRET_BYTES)
        url = await _provider(services).sign_in_url(
            _redirect_uri(services), _derived(flow, "state"), _derived(flow, "nonce"), _derived(flow, "verifier")
        )
        return Response(status_code=303, headers={"location": url, "set-cookie": cookies.set_flow(flow)})

    @api.get("/session/oidc/callback", status_code=303, summary="Back from there", response_class=Response)
    async def from_provider(
        request: Request,
        state: Annotated[str, Query(max_length=200)] = "",
        code: Annotated[str, Query(max_length=CODE_CHARS_MAX)] = "",
        error: Annotated[str, Query(max_length=CODE_CHARS_MAX)] = "",
    ) -> Response:
        flow = cookies.flow(request.scope["headers"])
        try:
            signed_in = await _came_back(request, services, cookies, flow, state, code, error)
        except (LoginError, LoginLimitError, IdentityError) as failed:
            # To the page that says so, and not to an answer of JSON in the middle of a tab.
            log.warning("sign_in_failed", why=str(failed))
            why = "provider" if isinstance(failed, IdentityError) else "refused"
            headers = {"location": f"/login?failed={why}", "set-cookie": cookies.end_flow()}
            return Response(status_code=303, headers=headers)
        back = Response(status_code=303, headers={"location": CONSOLE})
        back.headers.append("set-cookie", cookies.set_session(signed_in.cookie))
        back.headers.append("set-cookie", cookies.end_flow())
        return back


async def _came_back(
    request: Request, services: Services, cookies: Cookies, flow: str | None, state: str, code: str, error: str
) -> SignedIn:
    if flow is None or not secrets.compare_digest(state.encode(), _derived(flow, "state").encode()):
        raise LoginError("this sign-in was not begun in this browser, or too long ago; begin anew")
    if error or not code:
        raise LoginError("the identity provider did not sign you in")
    _access(services).expect_room(_address(request))
    identity = await _provider(services).identify(
        _redirect_uri(services), code, _derived(flow, "nonce"), _derived(flow, "verifier")
    )
    before = session_id(cookies.session(request.scope["headers"]) or "")
    return await _access(services).login_as(identity, _address(request), before)


def _derived(flow: str, what: str) -> str:
    """43 characters, as PKCE wants at least (RFC 7636, 4.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"{what}:{flow}".encode()).digest()).decode().rstrip("=")


def _redirect_uri(services: Services) -> str:
    server = services.config.server
    host = f"[{server.admin_host}]" if ":" in server.admin_host else server.admin_host
    return f"{services.config.operators.url or f'http://{host}:{server.admin_port}'}{BACK}"


def _provider(services: Services) -> Identities:
    if services.identities is None:
        raise ProblemError(404, "no identity provider is configured: operators.oidc")
    return services.identities


def _access(services: Services) -> Access:
    if services.access is None:
        raise ProblemError(409, 'nobody signs in here: operators.auth is "none"')
    return services.access


def _address(request: Request) -> str | None:
    address: str | None = request.scope["longstop.address"]
    return address


def _own(who: Caller) -> str:
    """The key of the caller's own sessions. A token has none, whatever it is called."""
    return name_key(who.name) if who.kind is CallerKind.USER else ""


async def _hint_where_there_is_nobody(services: Services, error: LoginError) -> None:
    if not (await services.store.users(Page(1, newest_first=False))).rows:
        raise LoginError(f"there is no user yet; on the gateway's machine: {FIRST_USER}") from error


async def _shown(services: Services, who: Caller | None) -> Row:
    user = None
    if who is not None and who.session is not None:
        user = await services.store.user(name_key(who.name))
    return {
        "authenticated": who is not None,
        "required": services.access is not None,
        "user": who.name if who else None,
        "role": user.role if user else None,
        "scopes": sorted(who.scopes) if who else [],
        "oidc": services.identities is not None,
        "version": __version__ if who else None,
        "console": {"name": services.config.console.name, "colour": services.config.console.colour},
    }
