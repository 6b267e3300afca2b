"""What a signature covers, where that is more than the body: a template with the body, a time and an id put in.

Such a text is signed without a word on where its parts begin and end. So a captured request could be sent again with
the end of its id in the place of its time, or the beginning of its body at the end of its id: the same text, the same
signature, another event. `SignedContent.is_unambiguous` refuses what could be read in two ways.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from longstop.model.signing import CONTENT_PLACE

_UNIX_SECONDS = re.compile(rb"[1-9][0-9]{9}")
"""From 2001 to 2286. Of any number of digits, some of an id or a body beside them could be taken along or left out."""
_UNIX_MILLISECONDS = re.compile(rb"[0-9]{13}")
_RFC3339 = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,21}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

ID_BYTES_MAX = 256
"""A longer id is nobody's, and could hold a piece of a body."""
_ID = re.compile(rb'(?:(?![\[\]{}<>"])[\x21-\x7e]){1,%d}' % ID_BYTES_MAX)
"""What an id may be made of: printable ASCII without what JSON and XML begin, end and quote with."""
_HELD = {"id": _ID, "timestamp": re.compile(rb"[0-9-]")}
"""What a byte next to the body must not be, where the body touches such a value. RFC 3339 says itself where it ends;
but its year, with a hyphen behind it, could be taken for the last digits of seconds."""


def is_fresh(seconds: bytes, now_ms: int, tolerance_ms: int) -> bool:
    """Whether a time in Unix seconds, as digits, is at most the tolerance away from now, in the past or the future."""
    return _UNIX_SECONDS.fullmatch(seconds) is not None and abs(now_ms - int(seconds) * 1000) <= tolerance_ms


def is_fresh_time(time: bytes, now_ms: int, tolerance_ms: int, milliseconds: bool = True) -> bool:
    """`is_fresh` for a time as any sender writes it: Unix seconds, Unix milliseconds (13 digits) or RFC 3339.

    milliseconds: whether Unix milliseconds are taken.
    """
    if _UNIX_MILLISECONDS.fullmatch(time):
        return milliseconds and abs(now_ms - int(time)) <= tolerance_ms
    if _RFC3339.fullmatch(time):
        try:
            time_ms = (datetime.fromisoformat(time.decode()) - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            return False
        return abs(now_ms - time_ms) <= tolerance_ms
    return is_fresh(time, now_ms, tolerance_ms)


def is_id(value: bytes) -> bool:
    """Whether a value may be an id that is signed beside a body."""
    return _ID.fullmatch(value) is not None


class SignedContent:
    """A template such as `{id}.{timestamp}.{body}`."""

    def __init__(self, template: str) -> None:
        # re.split with a group alternates: text, name, text, name, …
        split = CONTENT_PLACE.split(template)
        self._pieces = [(piece if at % 2 else "", piece.encode()) for at, piece in enumerate(split) if piece]
        """Each with the name of what is put in, or with its text."""
        names = [name for name, _ in self._pieces]
        pairs = set(pairwise(names))
        self.takes_milliseconds = not pairs & {("id", "timestamp"), ("timestamp", "id")}
        """Where id and time touch, three digits of the one might make seconds of the other milliseconds."""

    def parts(self, body: bytes, put_in: Mapping[str, bytes]) -> list[bytes]:
        """The text that is signed, in pieces: joined, a large body would be copied once more."""
        given = {"body": body, "timestamp": b"", "id": b"", **put_in}
        return [given[name] if name else text for name, text in self._pieces]

    def is_unambiguous(self, body: bytes, put_in: Mapping[str, bytes]) -> bool:
        """Whether no other id, time and body make up the same text.

        So an id holds nothing of the text that divides it from what is behind it, or from a body before it; and where
        an id or a time touches the body, the body does not go on as they do.
        """
        id_ = put_in.get("id")
        if id_ is not None and not is_id(id_):
            return False
        pairs = enumerate(pairwise(self._pieces))
        return self._body_stands_apart(body) and all(_divided(at, *pair, id_ or b"") for at, pair in pairs)

    def _body_stands_apart(self, body: bytes) -> bool:
        names = [name for name, _ in self._pieces]
        at = names.index("body")
        before, behind = _HELD.get(names[at - 1] if at else ""), _HELD.get(names[at + 1] if names[at + 1 :] else "")
        return not (before and before.fullmatch(body[:1])) and not (behind and behind.fullmatch(body[-1:]))


def _divided(at: int, this: tuple[str, bytes], following: tuple[str, bytes], id_: bytes) -> bool:
    """Whether it is clear where an id ends, by the text behind it, or begins, by a text between the body and it."""
    if this[0] == "id" and not following[0]:
        return (id_ + following[1]).find(following[1]) == len(id_)
    divides_from_body = at > 0 and not this[0] and following[0] == "id"
    return not divides_from_body or this[1] not in id_
