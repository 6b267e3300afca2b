"""What makes a commit durable, asked on every new connection, and once a second: a server that was set to forget is not
written to.

https://www.postgresql.org/docs/current/runtime-config-wal.html: without `fsync` or `full_page_writes` a power cut may
leave a database that cannot be repaired; with `synchronous_commit = off` it loses the last commits that were answered.
"""

from collections.abc import Sequence

import asyncpg

from longstop.model.errors import StoreUnavailableError

_ASKED = ("fsync", "full_page_writes", "synchronous_commit")
SETTINGS = f"SELECT {', '.join(f'current_setting({name!r})' for name in _ASKED)}, current_setting('server_encoding')"


class NotDurableError(StoreUnavailableError):
    """The server does not keep what it confirms, or cannot hold every text."""


async def refuse_what_forgets(connection: asyncpg.Connection, relaxed: bool) -> None:
    """Raise NotDurableError where a commit of this connection would not be durable. relaxed: that is what is wanted."""
    found = await connection.fetchrow(SETTINGS)
    encoding = found[-1]
    if encoding != "UTF8":
        raise NotDurableError(f"PostgreSQL: the database has the encoding {encoding}; expected UTF8: createdb -E UTF8")
    off = off_in(found)
    if off and not relaxed:
        raise NotDurableError(
            f"PostgreSQL: {' and '.join(off)} off: what is accepted could be lost in a power cut. Set it to on, or say "
            "?durability=relaxed in store.url where that is what you want."
        )


async def off(connection: asyncpg.Connection) -> list[str]:
    """Which of them are off."""
    return off_in(await connection.fetchrow(SETTINGS))


def off_in(found: Sequence[str]) -> list[str]:
    """Which of them are off, in a row of SETTINGS."""
    return [name for name, value in zip(_ASKED, found, strict=False) if value == "off"]
