"""The check that no repeated member name decides a dedup key.

JSON lets an object repeat a name, and readers differ in which value they keep. Where such a name lies
on the way to the dedup key, the sender and this program may mean different events, and the one that
is taken for a duplicate would be lost. Such a body is ambiguous and goes to quarantine.

The exact check parses the body a second time and is several times as dear as reading it; a count of
the raw bytes spares it to all bodies but the few in which a name might really be repeated. Both take
time in proportion to the body, whatever is in it.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Never

from longstop.model.errors import MalformedError

_ESCAPED_NAME = re.compile(rb"\\u00[3-7]")
"""An escape that may spell a letter, a digit or an underscore."""


def ambiguous(found: str) -> MalformedError:
    """The error for a dedup key that cannot be told: what was found, and what a key is."""
    return MalformedError(
        f"ambiguous dedup key: found {found}; expected a text or a number that names the event. "
        "The request is kept in quarantine: correct the sender or the source's `dedup`"
    )


class RepeatedNames:
    """Checks what a reading of the body depends on.

    `names`: the member names that the reading follows, if these are plain identifiers; None where it
    may follow any, and then every body gets the exact check.
    """

    def __init__(self, read: Callable[[Any], Any], names: Iterable[str] | None) -> None:
        self._read = read
        self._names = None if names is None else tuple(dict.fromkeys(names))
        self._quoted = tuple(f'"{name}"'.encode() for name in self._names or ())

    def check(self, body: bytes, document: Any, found: Any) -> None:
        """Raise MalformedError if `found`, read from `document`, rests on a name that the body repeats."""
        if not self._surely_single(body, document) and self._read(parse_marking(body)) != found:
            raise ambiguous("a repeated member name on the way to it")

    def _surely_single(self, body: bytes, document: Any) -> bool:
        if self._names is None or _ESCAPED_NAME.search(body):
            return False
        # Each member that was kept stands in the body at least once: equal sums leave room for no other.
        spelled = [body.count(quoted) for quoted in self._quoted]
        return max(spelled) <= 1 or sum(spelled) == _members(document, self._names)


def _members(document: Any, names: tuple[str, ...]) -> int:
    """How many members of these names there are, at any depth."""
    total, containers = 0, [document]
    # Plain loops on a growing list: twice as fast as sets and a stack, and this runs for every request.
    for container in containers:
        inside = container
        if type(container) is dict:
            for name in names:
                total += name in container
            inside = container.values()
        for value in inside:
            kind = type(value)
            if kind is dict or kind is list:
                containers.append(value)
    return total


class _Repeated:
    """Stands where an object repeats a name, and refuses to be looked into or compared."""

    __hash__ = None  # type: ignore[assignment]

    def get(self, _name: str) -> Never:
        raise ambiguous("a repeated member name on the way to it")

    def __eq__(self, _other: object) -> Never:
        raise ambiguous("a repeated member name on the way to it")


def parse_marking(body: bytes) -> Any:
    """The body parsed, with a value that raises MalformedError on use wherever a name is repeated."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_marked)
    except (ValueError, RecursionError):
        raise MalformedError("the body is nested too deep to tell whether its dedup key is ambiguous") from None


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members[name] = _Repeated()
            seen.add(name)
    return members
