"""The open circuits."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from longstop.model.breaker import Circuit
from longstop.stores.postgres.rows import columns, each, reader

COLUMNS = "destination opened_at_ms probe_at_ms answer_ms why version failed passed probe_key".split()
_ALL = f"SELECT {columns(COLUMNS)} FROM circuits ORDER BY destination"
_LOCKED = f"SELECT {columns(COLUMNS)} FROM circuits WHERE destination = $1 FOR UPDATE"
_CLOSE = "DELETE FROM circuits WHERE destination = $1 AND version = $2 RETURNING destination"
_PLACEHOLDERS = ", ".join(f"${place}" for place in range(1, 1 + len(COLUMNS)))
_SET = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
_OPEN = f"""
    INSERT INTO circuits ({columns(COLUMNS)}) VALUES ({_PLACEHOLDERS})
    ON CONFLICT (destination) DO NOTHING RETURNING destination
"""
_PUT = f"""
    UPDATE circuits SET ({columns(COLUMNS)}) = ROW ({_PLACEHOLDERS}) WHERE destination = $1 AND version = ${
    1 + len(COLUMNS)
} RETURNING destination
"""

to_circuit = reader("circuit", lambda row: Circuit(*row))


def of_row(row: Sequence[Any]) -> Circuit | None:
    """The circuit of a row in the order of COLUMNS, which may be one of nulls."""
    return None if row[0] is None else Circuit(*row)


async def circuits(connection: asyncpg.Connection) -> list[Circuit]:
    """All that are open, by destination."""
    return list(each(await connection.fetch(_ALL), to_circuit))


async def locked(connection: asyncpg.Connection, destination: str) -> Circuit | None:
    """A destination's circuit, which nobody changes before this transaction ends; None: it is closed."""
    row = await connection.fetchrow(_LOCKED, destination)
    return None if row is None else Circuit(*row)


async def put(connection: asyncpg.Connection, circuit: Circuit) -> None:
    """Put this in the place of the version before it, which is locked."""
    await connection.execute(_PUT, *_values(circuit), circuit.version - 1)


async def change(connection: asyncpg.Connection, destination: str, version: int, circuit: Circuit | None) -> bool:
    """Put `circuit` in place of the one of this version, 0 being the closed one; None closes it."""
    if circuit is None:
        if version == 0:
            return not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM circuits WHERE destination = $1)", destination
            )
        return await connection.fetchval(_CLOSE, destination, version) is not None
    if version == 0:
        return await connection.fetchval(_OPEN, *_values(circuit)) is not None
    return await connection.fetchval(_PUT, *_values(circuit), version) is not None


def _values(circuit: Circuit) -> list[Any]:
    return [getattr(circuit, name) for name in COLUMNS]
