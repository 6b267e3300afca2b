"""Rows of users, tokens, sessions and the audit log."""

from longstop.edges.rows.ids import AmbiguousIdError
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.accounts import Session, Token, User
from longstop.model.audit import AuditEntry
from longstop.model.errors import NotFoundError
from longstop.model.ids import END_CHARS
from longstop.model.listing import Page
from longstop.ports import Accounts


def user_row(user: User) -> Row:
    """The stable fields of `users list`."""
    return {
        "name": user.name,
        "role": user.role.value,
        "disabled": user.disabled,
        "signs_in_by": "password" if user.password is not None else "oidc",
        "created_at": rfc3339(user.created_at_ms),
        "created_by": user.created_by,
        "changed_at": rfc3339(user.changed_at_ms),
    }


def token_row(token: Token) -> Row:
    """The stable fields of `tokens list`."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(scope.value for scope in token.scopes),
        "created_at": rfc3339(token.created_at_ms),
        "created_by": token.created_by,
        "expires_at": rfc3339(token.expires_at_ms),
    }


def session_row(session: Session, current: str | None) -> Row:
    """The stable fields of a session."""
    return {
        "id": session.id,
        "user": session.user,
        "created_at": rfc3339(session.created_at_ms),
        "seen_at": rfc3339(session.seen_at_ms),
        "expires_at": rfc3339(session.expires_at_ms),
        "address": session.address,
        "current": session.id == current,
    }


def audit_row(entry: AuditEntry) -> Row:
    """The stable fields of `audit`."""
    return {
        "id": entry.id,
        "at": rfc3339(entry.at_ms),
        "by": entry.by,
        "by_kind": entry.by_kind.value,
        "action": entry.action.value,
        "target": {"kind": entry.target.kind, "id": entry.target.id},
        "count": entry.count,
        "why": entry.why,
        "from": entry.address,
        "details": dict(entry.details),
    }


async def token_meant(accounts: Accounts, text: str) -> Token:
    """The token that a whole id, its beginning or its last characters stand for.

    Raises NotFoundError, AmbiguousIdError. There are as many tokens as there are programs, so all are looked at.
    """
    wanted = text.strip().lower()
    found, after = [], None
    while len(wanted) >= END_CHARS:
        page = await accounts.tokens(Page(500, after))
        found += [each for each in page.rows if each.id.startswith(wanted) or each.id.endswith(wanted)]
        after = page.next_after
        if after is None:
            break
    if len(found) > 1:
        listed = ", ".join(each.id for each in found[:6])
        raise AmbiguousIdError(f"{text} may be any of {listed}; give more of it")
    if not found:
        raise NotFoundError(f"no token has the id {text[:100]}; `longstop tokens list` shows them")
    return found[0]
