"""What errors have in common: the text of one, with the parts taken out that differ from one event to the next.

`the destination answered 503 after 1.25 s (request 7f3c9a10b2)` and the same with another time and another id are one
error to the person who has to mend it. A rule, not a guess: whatever has the form of an id, a time or a number is
replaced by `#`. Each word is looked at by itself, so that the same words always come out the same.
"""

import re

VARIABLE = "#"
OTHER = "(other errors)"
"""The group of whatever dies of an error too many: groups are there to be looked at, and more than some are no help."""
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


def says(error: str | None, wanted: str) -> bool:
    """Whether a text stands in an error: in its group's text, or, where the text has variable parts, in it as it is."""
    if error is None:
        return False
    return wanted in (error if has_variables(wanted) else group_of(error))


def has_variables(text: str) -> bool:
    """Whether there is something in it that `group_of` takes out."""
    return group_of(text) != text[:LENGTH_MAX]


def may_say(group: str, wanted: str) -> bool:
    """Whether a text with variable parts may stand in an error of this group; False only where it cannot.

    What is whole between two blanks comes out the same in both; the words at the ends may be parts of longer ones.
    """
    if len(group) >= LENGTH_MAX:
        return True
    whole = "".join(re.split(r"(\s)", wanted)[2:-2])
    return group == OTHER or (VARIABLE in group and group_of(whole) in group)
