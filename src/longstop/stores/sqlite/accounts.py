"""Users, tokens and sessions: a row each. Each function is inside one transaction."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw

from longstop.model.accounts import Role, Session, Token, User
from longstop.model.caller import Scope
from longstop.model.listing import Listing, Page
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import columns
from longstop.stores.sqlite.unreadable import Row

T = TypeVar("T")

MIGRATION = """
    CREATE TABLE users (
        key TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        password TEXT,
        stamp TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        changed_at_ms INTEGER NOT NULL,
        subject TEXT,
        disabled INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        digest BLOB NOT NULL,
        scopes TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires_at_ms INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        "user" TEXT NOT NULL,
        stamp TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        seen_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        address TEXT
    ) WITHOUT ROWID;
    CREATE INDEX sessions_user ON sessions ("user", id);
    CREATE INDEX sessions_seen ON sessions (seen_at_ms);
    CREATE INDEX sessions_expires ON sessions (expires_at_ms);
"""

_USER = "key name role password stamp created_at_ms created_by changed_at_ms subject disabled".split()
_TOKEN = "id name digest scopes created_at_ms created_by expires_at_ms".split()
_SESSION = 'id digest "user" stamp created_at_ms seen_at_ms expires_at_ms address'.split()


def _insert(table: str, names: list[str]) -> str:
    return f"INSERT OR IGNORE INTO {table} ({columns(names)}) VALUES ({', '.join('?' * len(names))})"


_CHANGE_USER = (
    "UPDATE users SET name = ?, role = ?, password = ?, stamp = ?, created_at_ms = ?, created_by = ?, "
    "changed_at_ms = ?, subject = ?, disabled = ? WHERE key = ? AND stamp = ?"
)


# -- users --------------------------------------------------------------------------------------


def user(connection: apsw.Connection, key: str) -> User | None:
    """A user's row."""
    row = connection.execute(f"SELECT {columns(_USER)} FROM users WHERE key = ?", (key,)).fetchone()
    return _to_user(row) if row else None


def users(connection: apsw.Connection, page: Page) -> Listing[User]:
    """One page of them."""
    return _page(connection, "users", _USER, page, _to_user)


def add_user(connection: apsw.Connection, new: User) -> bool:
    """Add a row."""
    connection.execute(_insert("users", _USER), _user_row(new))
    return connection.changes() == 1


def change_user(connection: apsw.Connection, changed: User, stamp: str) -> bool:
    """Change the row that has this stamp."""
    key, *rest = _user_row(changed)
    connection.execute(_CHANGE_USER, (*rest, key, stamp))
    return connection.changes() == 1


def remove_user(connection: apsw.Connection, key: str) -> bool:
    """Drop a row."""
    connection.execute("DELETE FROM users WHERE key = ?", (key,))
    return connection.changes() == 1


def _user_row(u: User) -> Row:
    of_it = (u.key, u.name, u.role.value, u.password, u.stamp, u.created_at_ms, u.created_by, u.changed_at_ms)
    return (*of_it, u.subject, u.disabled)


def _made_user(row: Row) -> User:
    _key, name, role, password, stamp, created_at_ms, created_by, changed_at_ms, subject, disabled = row
    return User(
        name, Role(role), password, stamp, created_at_ms, created_by, changed_at_ms, subject, disabled=bool(disabled)
    )


_to_user = unreadable.reader("user", _USER, _made_user)


# -- tokens -------------------------------------------------------------------------------------


def token(connection: apsw.Connection, id_: str) -> Token | None:
    """A token's row."""
    row = connection.execute(f"SELECT {columns(_TOKEN)} FROM tokens WHERE id = ?", (id_,)).fetchone()
    return _to_token(row) if row else None


def tokens(connection: apsw.Connection, page: Page) -> Listing[Token]:
    """One page of them."""
    return _page(connection, "tokens", _TOKEN, page, _to_token)


def add_token(connection: apsw.Connection, new: Token) -> None:
    """Add a row."""
    scopes = " ".join(sorted(new.scopes))
    values = (new.id, new.name, new.digest, scopes, new.created_at_ms, new.created_by, new.expires_at_ms)
    connection.execute(_insert("tokens", _TOKEN), values)


def remove_token(connection: apsw.Connection, id_: str) -> bool:
    """Drop a row."""
    connection.execute("DELETE FROM tokens WHERE id = ?", (id_,))
    return connection.changes() == 1


def _made_token(row: Row) -> Token:
    id_, name, digest, scopes, *rest = row
    return Token(id_, name, digest, frozenset(map(Scope, scopes.split())), *rest)


_to_token = unreadable.reader("token", _TOKEN, _made_token)


# -- sessions -----------------------------------------------------------------------------------


_to_session = unreadable.reader("session", [name.strip('"') for name in _SESSION], lambda row: Session(*row))


def session(connection: apsw.Connection, id_: str) -> Session | None:
    """A session's row."""
    row = connection.execute(f"SELECT {columns(_SESSION)} FROM sessions WHERE id = ?", (id_,)).fetchone()
    return _to_session(row) if row else None


def sessions(connection: apsw.Connection, user: str | None, page: Page) -> Listing[Session]:
    """One page of them."""
    return _page(connection, "sessions", _SESSION, page, _to_session, user=user)


def add_session(connection: apsw.Connection, s: Session) -> None:
    """Add a row."""
    values = (s.id, s.digest, s.user, s.stamp, s.created_at_ms, s.seen_at_ms, s.expires_at_ms, s.address)
    connection.execute(_insert("sessions", _SESSION), values)


def see_session(connection: apsw.Connection, id_: str, at_ms: int) -> None:
    """Note the time in a row."""
    connection.execute("UPDATE sessions SET seen_at_ms = ? WHERE id = ?", (at_ms, id_))


def end_sessions(connection: apsw.Connection, ids: Sequence[str]) -> int:
    """Drop rows."""
    ended = 0
    for id_ in ids:
        connection.execute("DELETE FROM sessions WHERE id = ?", (id_,))
        ended += connection.changes()
    return ended


def forget_sessions(connection: apsw.Connection, now_ms: int, seen_before_ms: int) -> int:
    """Drop the rows of those that are over."""
    connection.execute("DELETE FROM sessions WHERE expires_at_ms <= ?", (now_ms,))
    expired = connection.changes()
    connection.execute("DELETE FROM sessions WHERE seen_at_ms < ?", (seen_before_ms,))
    return expired + connection.changes()


def _page(
    connection: apsw.Connection,
    table: str,
    names: list[str],
    page: Page,
    made: Callable[[Row], T],
    user: str | None = None,
) -> Listing[T]:
    """One page by the first column, which is the key."""
    order, behind = ("DESC", "<") if page.newest_first else ("ASC", ">")
    conditions: list[tuple[str, Any]] = [('"user" = ?', user), (f"{names[0]} {behind} ?", page.after)]
    given = [(sql, value) for sql, value in conditions if value is not None]
    where = " AND ".join(sql for sql, _ in given) or "1"
    query = f"SELECT {columns(names)} FROM {table} WHERE {where} ORDER BY {names[0]} {order} LIMIT ?"
    rows = list(unreadable.fetched(connection.execute(query, (*(value for _, value in given), page.limit + 1)), table))
    shown = rows[: page.limit]
    return Listing(tuple(unreadable.each(shown, made)), shown[-1][0] if len(rows) > len(shown) else None)
