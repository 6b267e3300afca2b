"""Users, tokens and sessions: a row each. Each function is inside one transaction."""

from collections.abc import Sequence

import asyncpg

from longstop.model.accounts import Role, Session, Token, User
from longstop.model.caller import Scope
from longstop.model.listing import Listing, Page
from longstop.stores.postgres.rows import columns, reader
from longstop.stores.postgres.statements import Condition, Row, changed, page_of

_USER = "key name role password stamp created_at_ms created_by changed_at_ms subject disabled".split()
_TOKEN = "id name digest scopes created_at_ms created_by expires_at_ms".split()
_SESSION = "id digest user stamp created_at_ms seen_at_ms expires_at_ms address".split()


def _insert(table: str, names: list[str]) -> str:
    places = ", ".join(f"${place}" for place, _ in enumerate(names, 1))
    return f"INSERT INTO {table} ({columns(names)}) VALUES ({places}) ON CONFLICT DO NOTHING"


_CHANGE_USER = f"""
    UPDATE users SET {", ".join(f"{name} = ${place}" for place, name in enumerate(_USER, 1) if name != "key")}
    WHERE key = $1 AND stamp = ${len(_USER) + 1}
"""


# -- users --------------------------------------------------------------------------------------


async def user(connection: asyncpg.Connection, key: str) -> User | None:
    """A user's row."""
    row = await connection.fetchrow(f"SELECT {columns(_USER)} FROM users WHERE key = $1", key)
    return _to_user(row) if row else None


async def users(connection: asyncpg.Connection, page: Page) -> Listing[User]:
    """One page of them."""
    return await page_of(connection, "users", _USER, (), page, _to_user, "key")


async def add_user(connection: asyncpg.Connection, new: User) -> bool:
    """Add a row."""
    return changed(await connection.execute(_insert("users", _USER), *_user_row(new))) == 1


async def change_user(connection: asyncpg.Connection, to: User, stamp: str) -> bool:
    """Change the row that has this stamp."""
    return changed(await connection.execute(_CHANGE_USER, *_user_row(to), stamp)) == 1


async def remove_user(connection: asyncpg.Connection, key: str) -> bool:
    """Drop a row."""
    return changed(await connection.execute("DELETE FROM users WHERE key = $1", key)) == 1


def _user_row(u: User) -> Row:
    of_it = (u.key, u.name, u.role.value, u.password, u.stamp, u.created_at_ms, u.created_by, u.changed_at_ms)
    return (*of_it, u.subject, u.disabled)


def _made_user(row: asyncpg.Record) -> User:
    _key, name, role, *rest = row
    return User(name, Role(role), *rest)


_to_user = reader("user", _made_user)


# -- tokens -------------------------------------------------------------------------------------


async def token(connection: asyncpg.Connection, id_: str) -> Token | None:
    """A token's row."""
    row = await connection.fetchrow(f"SELECT {columns(_TOKEN)} FROM tokens WHERE id = $1", id_)
    return _to_token(row) if row else None


async def tokens(connection: asyncpg.Connection, page: Page) -> Listing[Token]:
    """One page of them."""
    return await page_of(connection, "tokens", _TOKEN, (), page, _to_token)


async def add_token(connection: asyncpg.Connection, new: Token) -> None:
    """Add a row."""
    scopes = " ".join(sorted(new.scopes))
    values = (new.id, new.name, new.digest, scopes, new.created_at_ms, new.created_by, new.expires_at_ms)
    await connection.execute(_insert("tokens", _TOKEN), *values)


async def remove_token(connection: asyncpg.Connection, id_: str) -> bool:
    """Drop a row."""
    return changed(await connection.execute("DELETE FROM tokens WHERE id = $1", id_)) == 1


def _made_token(row: asyncpg.Record) -> Token:
    id_, name, digest, scopes, *rest = row
    return Token(id_, name, digest, frozenset(map(Scope, scopes.split())), *rest)


_to_token = reader("token", _made_token)


# -- sessions -----------------------------------------------------------------------------------


_to_session = reader("session", lambda row: Session(*row))


async def session(connection: asyncpg.Connection, id_: str) -> Session | None:
    """A session's row."""
    row = await connection.fetchrow(f"SELECT {columns(_SESSION)} FROM sessions WHERE id = $1", id_)
    return _to_session(row) if row else None


async def sessions(connection: asyncpg.Connection, user: str | None, page: Page) -> Listing[Session]:
    """One page of them."""
    of_user = [] if user is None else [Condition('"user" = {}', (user,))]
    return await page_of(connection, "sessions", _SESSION, of_user, page, _to_session)


async def add_session(connection: asyncpg.Connection, s: Session) -> None:
    """Add a row."""
    values = (s.id, s.digest, s.user, s.stamp, s.created_at_ms, s.seen_at_ms, s.expires_at_ms, s.address)
    await connection.execute(_insert("sessions", _SESSION), *values)


async def see_session(connection: asyncpg.Connection, id_: str, at_ms: int) -> None:
    """Note the time in a row."""
    await connection.execute("UPDATE sessions SET seen_at_ms = $2 WHERE id = $1", id_, at_ms)


async def end_sessions(connection: asyncpg.Connection, ids: Sequence[str]) -> int:
    """Drop rows."""
    return changed(await connection.execute("DELETE FROM sessions WHERE id = ANY($1::varchar[])", list(ids)))


async def forget_sessions(connection: asyncpg.Connection, now_ms: int, seen_before_ms: int) -> int:
    """Drop the rows of those that are over."""
    query = "DELETE FROM sessions WHERE expires_at_ms <= $1 OR seen_at_ms < $2"
    return changed(await connection.execute(query, now_ms, seen_before_ms))
