"""How a fault in the configuration is told: where it is, what was found, what was expected, what to do.

Nothing in here reads a configuration; it is the one place that words, quotes and orders the messages.
What is put into a Fault or a Problem is printed, so no secret may ever be.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Loc = tuple[str | int, ...]
"""The way to a value: names of tables and keys, and places in lists counted from 0."""

_SHOWN_MAX = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


class Fault(ValueError):
    """A value that cannot be used; `expected` and `hint` may be empty where the key's own description says it."""

    def __init__(self, found: str, expected: str = "", hint: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault at its place; as text, the line that a person reads."""

    where: Loc
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        said = f"{dotted(self.where)}: {self.found}; expected {self.expected}"
        return f"{said}; {self.hint}" if self.hint else said


def dotted(where: Loc) -> str:
    """`("routes", 0, "to")` as `routes[0].to`; keys that TOML would quote are quoted."""
    path = ""
    for part in where:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if _BARE_KEY.fullmatch(part) else quoted(part))
    return path


def quoted(text: str) -> str:
    """Text in double quotes, cut where it is long, with nothing in it that could move a terminal's cursor."""
    cut = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
    return json.dumps(cut, ensure_ascii=not cut.isprintable())


def shown(value: object, *, secret: bool = False) -> str:
    """What was found, for a message; of a `secret` place only the kind of value."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case str():
            return "text" if secret else quoted(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number" if secret else number(value)
    return "a date or time"


def number(value: float) -> str:
    """A number for a message; one with hundreds of digits is only called large."""
    # Python refuses to print integers of more than 4300 digits, and nobody would read them.
    return "a very large number" if isinstance(value, int) and value.bit_length() > 128 else str(value)


def nearest(text: str, names: Iterable[str]) -> str:
    """`did you mean "orders"?` for the known name closest to `text`; empty where none is close."""
    close = difflib.get_close_matches(text[:100], list(names), n=1, cutoff=0.6)
    return f"did you mean {quoted(close[0])}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, or `none` where there are none."""
    return ", ".join(names) or "none"


def in_document_order(problems: Iterable[Problem], document: Mapping[str, Any]) -> tuple[str, ...]:
    """The problems' lines, in the order of the file; what is missing comes last in its table."""
    return tuple(str(problem) for problem in sorted(problems, key=lambda p: _position(p.where, document)))


def _position(where: Loc, document: Mapping[str, Any]) -> tuple[int, ...]:
    node: Any = document
    position = []
    for part in where:
        if isinstance(node, Mapping):
            position.append(list(node).index(part) if part in node else len(node))
            node = node.get(part)
        else:
            position.append(part if isinstance(part, int) else 0)
            node = node[part] if isinstance(node, list) and isinstance(part, int) and part < len(node) else None
    return tuple(position)


def syntax_line(error: tomllib.TOMLDecodeError, text: str, where: str) -> str:
    """The message for a file that is not TOML: `where:line:column: …`."""
    place = _PLACE.search(str(error))
    reason = _PLACE.sub("", str(error))
    if place is None or place["line"] is None:
        lines = text.split("\n")
        line, column = len(lines), len(lines[-1]) + 1
    else:
        line, column = int(place["line"]), int(place["column"])
    return (
        f"{where}:{line}:{column}: found something that is not TOML ({reason[:1].lower()}{reason[1:]}); "
        'expected key = value, as in port = 8080 or host = "127.0.0.1"; '
        "mend this line: text stands in quotes, lists in [ ], and no key is given twice"
    )
