"""On which line of the file a key stands: tomllib does not tell, and a person wants to go there.

Pure: from the text to a line for each table and key. It reads only what begins a statement, so the members of lists
and of inline tables have the line of their key.
"""

import json
import re
from collections.abc import Iterator, Mapping

from longstop.config.errors import Loc, dotted

_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[^"\'#\n\[\]{}]+|.', re.DOTALL
)
_KEY = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*(\[{{1,2}})[ \t]*({_KEYS})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_KEYS})[ \t]*=")
_LAST_PART = re.compile(r"""(?:\.?"(?:\\.|[^"\\])*"|\.?[A-Za-z0-9_-]+|\[\d+\])$""")


def lines_of(text: str) -> Mapping[str, int]:
    """The line, from 1, of every table and key, by its dotted path as messages have it: `routes[0].to`."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table: Loc = ()
    for line, statement in _statements(text):
        if header := _HEADER.match(statement):
            table = _table(_parts(header[2]), header[1] == "[[", counts)
            _note(found, (), table, line)
        elif assignment := _ASSIGNMENT.match(statement):
            _note(found, table, _parts(assignment[1]), line)
    return found


def placed(problem: str, where: str, lines: Mapping[str, int]) -> str:
    """A problem with the file, and the line of its key or else of the nearest table around it, before it.

    As it is where that is not known, or stands there already.
    """
    path, colon, _ = problem.partition(": ")
    while colon and path and path not in lines:
        shorter = _LAST_PART.sub("", path)
        if shorter == path:
            return problem
        path = shorter
    return f"{where}:{lines[path]}: {problem}" if path in lines else problem


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the line that it begins on: it ends with the line that all its brackets are closed on."""
    line, begun, depth = 1, 1, 0
    parts: list[str] = []
    for piece in _PIECE.findall(text):
        if piece == "\n" and depth <= 0:
            yield begun, "".join(parts)
            parts, begun, depth = [], line + 1, 0
        else:
            parts.append(piece)
            depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        line += piece.count("\n")
    yield begun, "".join(parts)


def _parts(keys: str) -> Loc:
    return tuple(_unquoted(key) for key in re.findall(_KEY, keys))


def _unquoted(key: str) -> str:
    if key.startswith('"'):
        try:
            return str(json.loads(key))
        except ValueError:
            return key
    return key.strip("'")


def _table(parts: Loc, of_array: bool, counts: dict[str, int]) -> Loc:
    """The way to a header's table: through the latest member of each list of tables."""
    way: Loc = ()
    for place, part in enumerate(parts, start=1):
        way = (*way, part)
        if of_array and place == len(parts):
            counts[dotted(way)] = counts.get(dotted(way), -1) + 1
        if dotted(way) in counts:
            way = (*way, counts[dotted(way)])
    return way


def _note(found: dict[str, int], table: Loc, parts: Loc, line: int) -> None:
    """Every step of the way has a line: the first that names it."""
    for end in range(1, len(parts) + 1):
        found.setdefault(dotted((*table, *parts[:end])), line)
