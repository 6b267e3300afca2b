"""The processes on this store: a row each, which it renews as long as it is there."""

import asyncpg

from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.stores.postgres.rows import columns, each, reader

_COLUMNS = "name roles version started_at_ms seen_at_ms cpu_percent attempts".split()
_BEAT = f"""
    INSERT INTO nodes ({columns(_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (name) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
"""
_FORGET = "DELETE FROM nodes WHERE seen_at_ms < $1"
_LEAVE = "DELETE FROM nodes WHERE name = $1"
_NODES = f"SELECT {columns(_COLUMNS)} FROM nodes ORDER BY name"

MIGRATION = """
    ALTER TABLE nodes ADD COLUMN cpu_percent integer;
    ALTER TABLE nodes ADD COLUMN attempts integer NOT NULL DEFAULT 0;
"""


def _node(row: asyncpg.Record) -> Node:
    name, roles, *rest = row
    return Node(name, tuple(roles.split()), *rest)


_to_node = reader("node", _node)


async def beat(connection: asyncpg.Connection, node: Node) -> None:
    """Write a node's row anew."""
    times, load = (node.started_at_ms, node.seen_at_ms), (node.cpu_percent, node.attempts)
    await connection.execute(_BEAT, node.name, " ".join(node.roles), node.version, *times, *load)
    await connection.execute(_FORGET, node.seen_at_ms - FORGOTTEN_AFTER_MS)


async def leave(connection: asyncpg.Connection, name: str) -> None:
    """Take a node's row away."""
    await connection.execute(_LEAVE, name)


async def nodes(connection: asyncpg.Connection) -> list[Node]:
    """All rows, by name."""
    return list(each(await connection.fetch(_NODES), _to_node))
