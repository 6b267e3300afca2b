"""Silence: whether a source has said nothing for longer than it ever does. Pure.

What it usually does is in the statistics: the minutes and the hours in which events of it came. The longest time
without any is what it is measured by, so that one that sleeps at night or over the weekend is not taken for silent.
"""

from collections.abc import Sequence
from itertools import pairwise

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

KNOWN_AFTER = 8
"""In fewer different minutes than this it has not been heard of often enough to tell."""
MARGIN = 1.5
"""Longer than the longest gap by so much is longer than ever."""
LEAST_MS = 5 * MINUTE_MS
"""Nobody is told of less."""


def usual_gap_ms(minutes: Sequence[int], hours: Sequence[int]) -> int | None:
    """The longest time that a source has been without an event; None: too little is known of it to tell.

    minutes, hours: the starts (Unix ms) of the minutes and of the hours in which events of it were accepted, in order,
    as far back as each is kept. Minutes are kept for less long and tell more. An hour tells of a gap only where the
    next one that had an event is not the one after it: of hours that follow each other, minutes know better. Where
    only hours are known, a gap may have been longer than the hours without any: it is taken for the longest it can have
    been.
    """
    if len(minutes) < KNOWN_AFTER and len(hours) < KNOWN_AFTER:
        return None
    by_minute = max((later - earlier for earlier, later in pairwise(minutes)), default=0)
    by_hour = max((later - earlier for earlier, later in pairwise(hours)), default=0)
    if by_hour <= HOUR_MS and by_minute:
        return by_minute
    # From the first moment of one hour to the last of the other.
    return max(by_minute, by_hour + HOUR_MS)


def silent_after_ms(usual_ms: int) -> int:
    """For how long a source may be without an event before it is silent, where this is its longest gap so far."""
    return max(LEAST_MS, int(usual_ms * MARGIN))


def is_silent(last_event_at_ms: int | None, usual_ms: int | None, now_ms: int) -> bool:
    """Whether a source has said nothing for longer than it ever does. One of which too little is known is not."""
    if last_event_at_ms is None or usual_ms is None:
        return False
    return now_ms - last_event_at_ms > silent_after_ms(usual_ms)
