"""Who may use the operators' side: people and programs, as they are kept, and what their roles let them do.

Nothing in here is a secret. Of a password its hash is kept, of a token and of a session's cookie the SHA-256 of 256
random bits, from which nobody gets back to what was hashed.
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from longstop.model.caller import ALL_SCOPES, Scope

SECRET_BYTES = 32
"""Random bytes in a token, and in the cookie of a session."""
PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 1024
"""What is longer is refused before it is hashed."""
NAME = "1 to 64 of letters, digits and . _ @ + -, the first a letter or a digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class Role(StrEnum):
    """What a person is there for."""

    VIEW = "view"
    REPLAY = "replay"
    ADMIN = "admin"


def scopes_of_role(role: Role) -> frozenset[Scope]:
    """What a role lets a person do. Whoever decides about an event may look at it."""
    if role is Role.VIEW:
        return frozenset({Scope.VIEW})
    return ALL_SCOPES if role is Role.ADMIN else ALL_SCOPES - {Scope.ADMIN}


def scopes_of_token(given: Collection[Scope]) -> frozenset[Scope]:
    """What a token with these scopes lets a program do.

    `replay` takes looking along, but no bodies: a program can be let send again what it must not read. `admin` is all:
    it could make itself a user that may all.
    """
    if Scope.ADMIN in given:
        return ALL_SCOPES
    return frozenset(given) | ({Scope.VIEW} if given else set())


def is_name(text: str) -> bool:
    """Whether a user or a token may have this name."""
    return _NAME.fullmatch(text) is not None


def name_key(name: str) -> str:
    """What makes two names one: `Ada` and `ada` are the same person."""
    return name.lower()


def digest(secret: bytes) -> bytes:
    """What is kept of a secret of SECRET_BYTES random bytes. A slow hash is for what people make up; this is not."""
    return hashlib.sha256(secret).digest()


def matches(secret: bytes, kept: bytes) -> bool:
    """Whether this is the secret of which `kept` is the digest. In constant time."""
    return hmac.compare_digest(digest(secret), kept)


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in."""

    name: str
    role: Role
    password: str | None = field(repr=False)
    """Its hash, argon2id in the PHC string format; None: signs in with the identity provider only."""
    stamp: str
    """Another one whenever the password or the role changes or the account is disabled: sessions of before are over."""
    created_at_ms: int
    created_by: str
    changed_at_ms: int
    subject: str | None = None
    """Who this is to the identity provider (`sub`)."""
    disabled: bool = False

    @property
    def key(self) -> str:
        """By what it is found."""
        return name_key(self.name)


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows in place of a person."""

    id: str
    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope]
    """As they were given; `scopes_of_token` says what they come to."""
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None = None

    def is_over(self, now_ms: int) -> bool:
        """Whether it has expired."""
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in, in one browser."""

    id: str
    digest: bytes = field(repr=False)
    user: str
    """The key of the user."""
    stamp: str
    """The user's when the session began."""
    created_at_ms: int
    seen_at_ms: int
    """When it was used last, to the minute."""
    expires_at_ms: int
    """However much it is used."""
    address: str | None = None
    """Where it began."""

    def is_over(self, now_ms: int, idle_ms: int) -> bool:
        """Whether it has ended, by its age or because nobody used it."""
        return now_ms >= self.expires_at_ms or now_ms >= self.seen_at_ms + idle_ms
