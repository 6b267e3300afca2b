"""Times as they are written for people and programs."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at_ms: int) -> str:
    """`2026-01-31T09:30:00.000Z`: Unix milliseconds in UTC, as RFC 3339 has it."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def at_utc(at_ms: int) -> datetime:
    """Unix milliseconds as a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=at_ms)
