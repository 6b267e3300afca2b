"""What errors have in common: the text of one, with the parts taken out that differ from one event to the next.

`the destination answered 503 after 1.25 s (request 7f3c9a10b2)` and the same with another time and another id are one
error to the person who has to mend it. A rule, not a guess: whatever has the form of an id, a time or a number is
replaced by `#`. Each word is looked at by itself, so that the same words always come out the same.
"""

import re

VARIABLE = "#"
LENGTH_MAX = 200
"""Characters of a group's text. What differs behind it makes no group of its own."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_ID = re.compile(r"(?<![0-9A-Za-z])(?:(?=[A-Za-z]*[0-9])[0-9A-Za-z]{8,}|0x[0-9A-Fa-f]+)(?![0-9A-Za-z])")
"""Letters and digits mixed, eight or more: what programs make ids of. Shorter ones are words such as `sha256`."""
_NUMBER = re.compile(r"[0-9]+")
_JOINED = re.compile(r"#(?:[-.:,/+_TZ]*#)+Z?")
"""What a time, an address or a fraction leaves behind: `#-#-#T#:#:#Z`, `#.#`."""


def group_of(error: str | None) -> str:
    """The error with `#` for each of its variable parts; empty for None. Twice is the same as once."""
    if not error:
        return ""
    text = error[: LENGTH_MAX * 2]
    for pattern in (_UUID, _ID, _NUMBER, _JOINED):
        text = pattern.sub(VARIABLE, text)
    return text[:LENGTH_MAX]
