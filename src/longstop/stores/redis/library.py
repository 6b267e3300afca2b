"""The store's functions on the server: one library of Lua, put together from a file for each subject.

Its name holds FORMAT and the hash of its text, and so do the names of its functions: two versions of Longstop work
side by side on one server, each with its own.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files

from longstop.stores.redis.packing import DELIVERY_COLUMNS, EVENT_COLUMNS

FORMAT = 1
"""What the keys hold, and how. A store of a later one is refused."""

_FILES = (
    *("writing", "base", "records", "indexes", "dead_groups", "history", "lanes", "deliveries", "events", "leases"),
    *("parking", "decisions", "clock_repair", "lookups", "forgetting", "jobs", "statistics", "held_requests"),
    *("transfer", "permissions"),
)
"""In this order: a local of Lua is known from its line on."""


@cache
def library() -> tuple[str, str]:
    """The library's name, with which each of its functions begins, and its text."""
    folder = files("longstop.stores.redis") / "functions"
    text = "\n".join([_places("D", DELIVERY_COLUMNS), _places("E", EVENT_COLUMNS)])
    text = "\n".join([text, *((folder / f"{name}.lua").read_text("utf-8") for name in _FILES)])
    name = f"longstop_{FORMAT}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return name, f"#!lua name={name}\nlocal LIBRARY = '{name}'\n{text}"


@cache
def commands() -> tuple[str, ...]:
    """What the functions ask of the server."""
    return tuple(sorted(set(re.findall(r"(?:call|in_pieces)\('([A-Z]+)'", library()[1]))))


def _places(table: str, columns: tuple[str, ...]) -> str:
    """Where each column stands in a packed row, by name."""
    return f"local {table} = {{{', '.join(f'{name} = {n}' for n, name in enumerate(columns, 1))}}}"
