"""The check that no repeated member name decides a dedup key.

JSON lets an object repeat a name, and readers differ in which value they keep. Where such a name lies
on the way to the dedup key, the sender and this program may mean different events, and the one that
is taken for a duplicate would be lost. Such a body is ambiguous and goes to quarantine.

The exact check parses the body a second time and is several times as dear as reading it; counts of
the raw bytes spare it to all bodies but the few in which a name might really be repeated. All take
time in proportion to the body, whatever is in it.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Never

import msgspec

from longstop.model.errors import MalformedError

_ESCAPED_NAME = re.compile(rb"\\u00[3-7]")
"""An escape that may spell a letter, a digit or an underscore."""
_BACKSLASH = ord("\\")
_NUMBERED_QUOTE = b"\\u0022"

_encode = msgspec.json.Encoder().encode


def ambiguous(found: str) -> MalformedError:
    """The error for a dedup key that cannot be told: what was found, and what a key is."""
    return MalformedError(
        f"ambiguous dedup key: found {found}; expected a text or a number that names the event. "
        "The request is kept in quarantine: correct the sender or the source's `dedup`"
    )


class RepeatedNames:
    """Checks what a reading of the body depends on.

    `names`: the member names that the reading follows, if these are plain identifiers; None where it
    may follow any.
    """

    def __init__(self, read: Callable[[Any], Any], names: Iterable[str] | None) -> None:
        self._read = read
        self._quoted = None if names is None else tuple(f'"{name}"'.encode() for name in names)

    def check(self, body: bytes, document: Any, found: Any) -> None:
        """Raise MalformedError if `found`, read from `document`, rests on a name that the body repeats."""
        if _repeats_none(body, document) or self._surely_single(body):
            return
        if self._read(parse_marking(body)) != found:
            raise ambiguous("a repeated member name on the way to it")

    def _surely_single(self, body: bytes) -> bool:
        if self._quoted is None or _ESCAPED_NAME.search(body):
            return False
        return all(body.count(quoted) <= 1 for quoted in self._quoted)


def _repeats_none(body: bytes, document: Any) -> bool:
    """Whether the body surely repeats no name at all: it has as many quotes as what was kept of it.

    Every member and text that was kept stands in the body, with the same quotes around it and in it; those of one that
    was dropped are too many. Only quotes that are spelled as a number could make up for them.
    """
    if _BACKSLASH in body and _NUMBERED_QUOTE in body:
        return False
    try:
        kept = _encode(document)
        # Most senders write it as it is written here.
        return kept == body or body.count(b'"') == kept.count(b'"')
    except (ValueError, OverflowError, TypeError, RecursionError):
        return False


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
