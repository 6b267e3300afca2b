"""By which day an event is archived: that of its arrival, UTC."""

from datetime import UTC, datetime, timedelta

from longstop.model.retention import DAY_MS

LAST_MS = 253_402_300_799_999
"""The end of the year 9999; an id may name a later time."""


def day_of(at_ms: int) -> str:
    """`2026-01-31`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d")


def days_about(at_ms: int) -> list[str]:
    """The days on which what an id of this time is of may have arrived, the likeliest first."""
    return [day_of(min(max(0, at_ms + days * DAY_MS), LAST_MS)) for days in (0, -1, 1)]
