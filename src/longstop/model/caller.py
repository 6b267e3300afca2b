"""Who asks: the person, the program or the gateway itself on whose behalf something is looked at or decided."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do. Each stands for itself: what implies what is decided where scopes are given."""

    VIEW = "view"
    """Look at everything but masked fields."""
    BODIES = "bodies"
    """Look at bodies, and at the fields that are masked for others."""
    REPLAY = "replay"
    """Decide: replay, discard, expedite, pause, resume."""
    ADMIN = "admin"
    """Manage users, tokens, sessions and settings."""


ALL_SCOPES = frozenset(Scope)


class CallerKind(StrEnum):
    """By which way a caller is known."""

    USER = "user"
    """A person: signed in, or at this machine where no authentication is asked for."""
    TOKEN = "token"  # noqa: S105 (the word, not one of them)
    """A program that shows a token."""
    CLI = "cli"
    """A person at the command line, with the store itself before him."""
    SYSTEM = "system"
    """The gateway."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what he may do."""

    name: str
    """What is recorded of every decision as `by`."""
    kind: CallerKind
    scopes: frozenset[Scope]
    address: str | None = None
    """Where the request came from, as far as it is known."""
    session: str | None = None
    """The id of the session that the request came with."""

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed to him."""
        return scope in self.scopes
