"""Times as people and programs give them: an age, a date, a time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

_AGO = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d.*)?")
TIMES_EXPECTED = "an age such as 90s, 15m, 2h or 3d, a date such as 2026-01-31, or a time such as 2026-01-31T09:30:00Z"


def read_time(text: str, now_ms: int) -> int | None:
    """The time that a text names, in milliseconds since the epoch; None where it names none."""
    readings: tuple[Callable[[], int | None], ...] = (lambda: _ago(text, now_ms), lambda: _date(text))
    return next((found for read in readings if (found := read()) is not None), None)


def _ago(text: str, now_ms: int) -> int | None:
    found = _AGO.fullmatch(text.strip())
    return now_ms - int(found[1]) * _UNIT_MS[found[2]] if found else None


def _date(text: str) -> int | None:
    if not _DATE.fullmatch(text.strip()):
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        # Without a zone it is UTC, as every time that is printed.
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def ms_of(text: str | None) -> int | None:
    """A row's time in milliseconds since the epoch; None for None."""
    return None if text is None else _date(text)
