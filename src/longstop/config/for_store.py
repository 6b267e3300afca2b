"""What a command that looks or decides needs of a configuration: its store, and whatever else is sound.

At three in the morning nobody has the senders' secrets in the shell, and a mistyped key of one destination is no
reason not to see what is dead. So all that is wrong is left out and listed, but for the store: which one is meant
has to be certain.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from longstop.config import rules, shape
from longstop.config.errors import Loc, Problem, in_document_order
from longstop.config.shape import Document
from longstop.config.values import Surroundings
from longstop.model.errors import ConfigurationError

_STORE_HEADER = re.compile(r"^[ \t]*\[[ \t]*store[ \t]*\][^\n]*\n", re.MULTILINE)
_ANY_HEADER = re.compile(r"^[ \t]*\[[^\n]*\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
NEEDED = ("store",)
_KEPT = ("ordered", "on_dead")
"""What an event that is sent again has to know of a destination that is otherwise wrong."""


def only_store(text: str) -> dict[str, Any] | None:
    """Of a text that is not TOML the table `[store]`; None where that cannot be made out."""
    header = _STORE_HEADER.search(text)
    if header is None:
        return None
    end = _ANY_HEADER.search(text, header.end())
    try:
        return {"store": tomllib.loads(text[header.end() : end.start() if end else None])}
    except ValueError:
        return None


def sound(
    document: Mapping[str, Any], around: Surroundings, needed: Collection[str] = NEEDED
) -> tuple[Document, Mapping[str, Any]]:
    """The document without what is wrong in it, in its shape and as written.

    Raises ConfigurationError where one of the needed tables is wrong.
    """
    while True:
        shaped, faults = shape.read(document, around)
        problems = [each for each in (*faults, *rules.errors(document, around)) if each.where[0] in document]
        of_needed = [each for each in problems if each.where[0] in needed]
        if of_needed:
            raise ConfigurationError(in_document_order(of_needed, document))
        if not problems and shaped is not None:
            return shaped, document
        document = _without(document, problems)


def _without(document: Mapping[str, Any], problems: Iterable[Problem]) -> Mapping[str, Any]:
    """The document without the tables that have problems. A destination stays by its name where that will do."""
    left = dict(document)
    # From the end, so that the places of routes before stay what they are.
    for unit in sorted({_unit(each.where, document) for each in problems}, key=str, reverse=True):
        name, *below = unit
        if not below:
            left.pop(str(name), None)
        elif isinstance(below[0], int):
            left[str(name)] = [each for place, each in enumerate(left[str(name)]) if place != below[0]]
        else:
            left[str(name)] = _without_table(left[str(name)], below[0], keep=name == "destinations")
    return left


def _unit(where: Loc, document: Mapping[str, Any]) -> Loc:
    """What is left out because of a problem there: a source, a destination, a route, or a whole table."""
    listed = isinstance(document.get(str(where[0])), Mapping if where[0] != "routes" else list)
    return where[:2] if listed and where[0] in ("sources", "destinations", "routes") else where[:1]


def _without_table(tables: Mapping[str, Any], name: str, keep: bool) -> dict[str, Any]:
    table = tables.get(name)
    kept = {key: table[key] for key in _KEPT if key in table} if isinstance(table, Mapping) else None
    stays = keep and kept is not None and kept != table
    return {key: kept if key == name else each for key, each in tables.items() if key != name or stays}
