"""The tables, and how a database gets from one version of them to the next.

Everything is in a schema of its own (`longstop` unless the URL says otherwise), beside whatever else the database
holds.
Its table `longstop_schema` has one row with the version. A migration is one entry of MIGRATIONS; all that are missing
run in one transaction, under an advisory lock, so that nodes may start together. Entries are never edited after a
release, only added, and each leaves what the version before it uses as it is: both may run side by side.

What a migration changes is locked for LOCK_MS at most before it is undone and begun anew: whoever works beside it waits
behind it, and a dump that reads a table for an hour would keep out everybody for as long.
"""

from collections.abc import Sequence

import asyncpg

from longstop.model.errors import SchemaError
from longstop.stores.postgres import churn_schema, inbox_schema, ledger_schema, nodes, operators_schema, span_schema

MIGRATIONS: tuple[str, ...] = (
    inbox_schema.SCHEMA,
    ledger_schema.MIGRATION,
    operators_schema.MIGRATION,
    # One step of a release, so that a process of the version before works on beside it.
    nodes.MIGRATION + span_schema.MIGRATION + churn_schema.MIGRATION,
)

LOCK_MS = 200
TRIES = 60
PAUSE_S = 1.0
"""Between two tries."""
OTHERS_S = 60
"""So long another process's migration is waited for."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_HAS_SCHEMA = "SELECT to_regnamespace($1) IS NOT NULL"
_PREPARE = """
    CREATE TABLE IF NOT EXISTS "{0}".longstop_schema (
        one integer PRIMARY KEY CHECK (one = 1), version integer NOT NULL
    );
    INSERT INTO "{0}".longstop_schema VALUES (1, 0) ON CONFLICT DO NOTHING;
"""
_VERSION = 'SELECT version FROM "{0}".longstop_schema'
_IS_THERE = "SELECT to_regclass($1) IS NOT NULL"


async def prepare(connection: asyncpg.Connection, schema: str, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema to the newest version, inside of one transaction.

    Raises asyncpg.LockNotAvailableError where somebody uses what is to be changed.
    """
    if await _version(connection, schema) >= len(migrations):
        return
    await connection.execute(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{OTHERS_S}s'")
    # The driver has a limit of its own for each statement.
    await connection.execute(_LOCK, f"longstop schema {schema}", timeout=2 * OTHERS_S)
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_MS}ms'")
    # Read again under the lock: another process may have migrated while this one waited for it.
    # IF NOT EXISTS would ask for the right to make one all the same, and who is given a schema may not have it.
    if not await connection.fetchval(_HAS_SCHEMA, f'"{schema}"'):
        await connection.execute(f'CREATE SCHEMA "{schema}"')
    await connection.execute(_PREPARE.format(schema))
    version = await _version(connection, schema)
    for script in migrations[version:]:
        await connection.execute(script, timeout=2 * OTHERS_S)
    await connection.execute(f'UPDATE "{schema}".longstop_schema SET version = $1', max(version, len(migrations)))


async def refuse_newer(connection: asyncpg.Connection, schema: str, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Raise SchemaError where a version of the program has been here that went further than one step beyond ours.

    One step beyond is what stands beside us during a rolling upgrade.
    """
    version = await _version(connection, schema)
    if version > len(migrations) + 1:
        raise SchemaError(
            f"the database has schema version {version}; this program knows versions up to {len(migrations)}, and "
            "works beside the next. Run the newer Longstop that wrote it."
        )


async def _version(connection: asyncpg.Connection, schema: str) -> int:
    """0: nothing is there yet."""
    if not await connection.fetchval(_IS_THERE, f'"{schema}".longstop_schema'):
        return 0
    return int(await connection.fetchval(_VERSION.format(schema)))
