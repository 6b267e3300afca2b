"""What the API shows of who may use it, and of what they did, as pydantic models."""

from typing import Literal

from pydantic import BaseModel, Field

from longstop.client.models import Id, Time
from longstop.model.accounts import Role
from longstop.model.audit import AuditAction
from longstop.model.caller import CallerKind, Scope


class User(BaseModel):
    """A person who may sign in."""

    name: str
    role: Role
    disabled: bool
    signs_in_by: Literal["password", "oidc"]
    created_at: Time
    created_by: str
    changed_at: Time = Field(description="When the password, the role or `disabled` was changed last.")


class Token(BaseModel):
    """What a program shows in place of a person."""

    id: Id
    name: str
    scopes: list[Scope]
    created_at: Time
    created_by: str
    expires_at: Time | None


class NewToken(Token):
    """A token that was just made."""

    token: str = Field(description="The token itself: now, and never again.")


class Console(BaseModel):
    """How the console calls itself."""

    name: str | None = None
    colour: str | None = None


class Session(BaseModel):
    """Who asks."""

    authenticated: bool
    required: bool = Field(description="Whether anybody is asked who he is.")
    user: str | None
    role: Role | None = Field(description="Of a person who signed in.")
    scopes: list[Scope]
    oidc: bool = Field(description="Whether GET session/oidc signs in, too.")
    version: str | None = Field(description="Longstop's; null for who is not known.")
    console: Console


class KeptSession(BaseModel):
    """Somebody who is signed in, in one browser."""

    id: Id
    user: str
    created_at: Time
    seen_at: Time = Field(description="When it was used last, to the minute.")
    expires_at: Time
    address: str | None
    current: bool = Field(description="Whether this request came with it.")


class AuditTarget(BaseModel):
    """What an action was about."""

    kind: str = Field(examples=["delivery"])
    id: str


class AuditEntry(BaseModel):
    """One thing that was done or looked at, noted before it was."""

    id: Id
    at: Time
    by: str
    by_kind: CallerKind
    action: AuditAction
    target: AuditTarget
    count: int = Field(description="How many of them.")
    why: str | None
    from_: str | None = Field(alias="from", description="The address that it was asked from.")
    details: dict[str, str]
