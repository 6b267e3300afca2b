"""The processes on this store: a row each, which it renews as long as it is there."""

import apsw

from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import Row, columns

_FORGET = "DELETE FROM nodes WHERE seen_at_ms < ?"
_LEAVE = "DELETE FROM nodes WHERE name = ?"
_COLUMNS = "name roles version started_at_ms seen_at_ms cpu_percent attempts".split()
_BEAT = f"INSERT OR REPLACE INTO nodes ({columns(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_NODES = f"SELECT {columns(_COLUMNS)} FROM nodes ORDER BY name"


def _node(row: Row) -> Node:
    name, roles, *rest = row
    return Node(name, tuple(roles.split()), *rest)


_to_node = unreadable.reader("node", ["name", "roles", "program", *_COLUMNS[3:]], _node)


MIGRATION = """
    ALTER TABLE nodes ADD COLUMN cpu_percent INTEGER;
    ALTER TABLE nodes ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
"""


def beat(connection: apsw.Connection, node: Node) -> None:
    """Write a node's row anew."""
    load = (node.cpu_percent, node.attempts)
    values = (node.name, " ".join(node.roles), node.version, node.started_at_ms, node.seen_at_ms, *load)
    connection.execute(_BEAT, values)
    connection.execute(_FORGET, (node.seen_at_ms - FORGOTTEN_AFTER_MS,))


def leave(connection: apsw.Connection, name: str) -> None:
    """Take a node's row away."""
    connection.execute(_LEAVE, (name,))


def nodes(connection: apsw.Connection) -> list[Node]:
    """All rows, by name."""
    return list(unreadable.each(connection.execute(_NODES), _to_node))
