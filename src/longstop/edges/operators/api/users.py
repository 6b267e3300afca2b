"""`users`: who may sign in. `tokens`: what programs show."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from longstop.client.access import NewToken, Token, User
from longstop.client.models import Items, Time
from longstop.edges.operators.api.access import Administrator
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage, PageOfNames, items
from longstop.edges.operators.api.problems import ProblemError, invalid
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.access import token_meant, token_row, user_row
from longstop.edges.rows.times import TIMES_EXPECTED, read_time
from longstop.edges.rows.values import Row
from longstop.model.accounts import PASSWORD_CHARS_MAX, Role, name_key
from longstop.model.caller import Caller, CallerKind, Scope

SHOWN_BEFORE = (
    "the token was made when this Idempotency-Key was used first, and was shown then and never again; if it did not "
    "arrive, revoke it (GET /api/v1/tokens lists them) and ask with another key"
)


class NewUser(StrictBody):
    """A person who is to sign in by a password."""

    name: str = Field(max_length=200)
    role: Role
    password: str = Field(max_length=4 * PASSWORD_CHARS_MAX, json_schema_extra={"format": "password"})


class UserChange(StrictBody):
    """What is to be another way; null: as it is."""

    role: Role | None = None
    password: str | None = Field(
        default=None, max_length=4 * PASSWORD_CHARS_MAX, json_schema_extra={"format": "password"}
    )
    disabled: bool | None = None


class WantedToken(StrictBody):
    """A token for a program."""

    name: str = Field(max_length=200)
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    expires_at: Time | None = Field(default=None, description="null: good until it is revoked.")


def users_router(services: Services) -> APIRouter:
    """The routes of users."""
    api = APIRouter(prefix="/users", tags=["access"])

    @api.get("", response_model=Items[User], summary="Who may sign in")
    async def users(_who: Administrator, page: PageOfNames) -> Any:
        found = await services.store.users(page)
        return await items(services, User, map(user_row, found.rows), found)

    @api.post("", response_model=User, status_code=201, summary="Let a person sign in")
    async def add(who: Administrator, new: NewUser, once: CarriedOut) -> Any:
        """With an Idempotency-Key the password is not compared: of that not even a digest is kept."""

        async def act() -> Row:
            return user_row(await services.accounts(who).add_user(new.name, new.role, new.password))

        return await once(User, act, 201, compared=new.model_dump_json(exclude={"password"}).encode())

    @api.patch("/{name}", response_model=User, summary="Change a user; who is signed in under the name has to anew")
    async def change(who: Administrator, name: str, wanted: UserChange) -> Any:
        if wanted.role not in (None, Role.ADMIN) or wanted.disabled:
            _expect_another(who, name)
        accounts = services.accounts(who)
        return user_row(
            await accounts.change_user(name, role=wanted.role, password=wanted.password, disabled=wanted.disabled)
        )

    @api.delete("/{name}", status_code=204, summary="Remove a user")
    async def remove(who: Administrator, name: str) -> Response:
        _expect_another(who, name)
        await services.accounts(who).remove_user(name)
        return Response(status_code=204)

    return api


def _expect_another(who: Caller, name: str) -> None:
    """So that there is always an administrator left: the one who asks."""
    if who.kind is CallerKind.USER and name_key(who.name) == name_key(name):
        raise ProblemError(409, "this would take the administrator's rights from yourself; another one can do that")


def tokens_router(services: Services) -> APIRouter:
    """The routes of tokens."""
    api = APIRouter(prefix="/tokens", tags=["access"])

    @api.get("", response_model=Items[Token], summary="What programs show")
    async def tokens(_who: Administrator, page: AskedPage) -> Any:
        found = await services.store.tokens(page)
        return await items(services, Token, map(token_row, found.rows), found)

    @api.post("", response_model=NewToken, status_code=201, summary="Make a token; it is shown once")
    async def create(who: Administrator, wanted: WantedToken, once: CarriedOut) -> Any:
        """The same request under the same Idempotency-Key is 409: the answer, which holds the token, is not kept."""
        expires_at_ms = None
        if wanted.expires_at is not None:
            expires_at_ms = read_time(wanted.expires_at, services.clock.now_ms())
            if expires_at_ms is None:
                raise invalid("body.expires_at", wanted.expires_at, f"expected {TIMES_EXPECTED}")

        async def act() -> Row:
            scopes = frozenset(wanted.scopes)
            token, text = await services.accounts(who).create_token(wanted.name, scopes, expires_at_ms)
            return {**token_row(token), "token": text}

        return await once(NewToken, act, 201, told_once=SHOWN_BEFORE)

    @api.delete("/{id}", status_code=204, summary="Revoke a token")
    async def revoke(who: Administrator, id: str) -> Response:
        await services.accounts(who).revoke_token((await token_meant(services.store, id)).id)
        return Response(status_code=204)

    return api
