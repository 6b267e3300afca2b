"""What people did and looked at, kept for whoever asks later. Entries are added and forgotten, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from longstop.model.caller import CallerKind
from longstop.model.value import value

DETAIL_CHARS_MAX = 500
"""What is longer in an entry's details or its reason is cut."""
IDS_MAX = 20
"""An entry about many names so many of them."""


class AuditAction(StrEnum):
    """What can be in the audit log."""

    DELIVERY_REPLAY = "delivery.replay"
    DELIVERY_DISCARD = "delivery.discard"
    DELIVERY_EXPEDITE = "delivery.expedite"
    EVENT_EDIT = "event.edit"
    """A new event was sent in the place of a kept one: edited, or routed anew."""
    BODY_READ = "body.read"
    DESTINATION_PAUSE = "destination.pause"
    DESTINATION_RESUME = "destination.resume"
    DESTINATION_TEST = "destination.test"
    SOURCE_TEST = "source.test"
    SOURCE_RELEASE = "source.release"
    JOB_CREATE = "job.create"
    JOB_PAUSE = "job.pause"
    JOB_RESUME = "job.resume"
    JOB_CANCEL = "job.cancel"
    PURGE = "purge"
    BACKUP = "backup"
    EVENTS_EXPORT = "events.export"
    EVENTS_IMPORT = "events.import"
    STORE_MIGRATE = "store.migrate"
    LOGIN = "login"
    LOGIN_FAILED = "login.failed"
    LOGOUT = "logout"
    USER_ADD = "user.add"
    USER_PASSWORD = "user.password"  # noqa: S105
    USER_ROLE = "user.role"
    USER_DISABLE = "user.disable"
    USER_ENABLE = "user.enable"
    USER_REMOVE = "user.remove"
    TOKEN_CREATE = "token.create"  # noqa: S105
    TOKEN_REVOKE = "token.revoke"  # noqa: S105
    SESSION_REVOKE = "session.revoke"
    SETTINGS_READ = "settings.read"
    AUDIT_EXPORT = "audit.export"
    ALERT_SILENCE = "alert.silence"
    ALERT_TEST = "alert.test"
    MCP_CALL = "mcp.call"
    """An assistant called a tool on somebody's behalf (edges/mcp)."""


@value(frozen=True, slots=True)
class Target:
    """What an action was about."""

    kind: str
    """event, delivery, destination, source, job, user, token, session, store, audit."""
    id: str


@value(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done or looked at: what was asked for, noted before it was done."""

    id: str
    """In the order in which they were noted."""
    at_ms: int
    by: str
    by_kind: CallerKind
    action: AuditAction
    target: Target
    count: int = 1
    """How many of them."""
    why: str | None = None
    address: str | None = None
    """Where the request came from."""
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None: any. Times: since inclusive, until exclusive."""

    by: str | None = None
    action: AuditAction | None = None
    since_ms: int | None = None
    until_ms: int | None = None
