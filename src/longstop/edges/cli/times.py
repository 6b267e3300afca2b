"""Times and durations as a person reads them: how long ago, in how long, at most one unit."""

from longstop.edges.rows.values import rfc3339

_UNITS = ((86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def span(ms: int) -> str:
    """`850 ms`, `12 s`, `5 min`, `3 h`, `2 days`: the largest unit that it fills."""
    for unit_ms, name in _UNITS:
        if ms >= unit_ms:
            count = ms // unit_ms
            return f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"
    return f"{max(ms, 0)} ms"


def ago(at_ms: int | None, now_ms: int) -> str:
    """`12 s ago`, `in 5 min`, `now`; `-` for None."""
    if at_ms is None:
        return "-"
    passed_ms = now_ms - at_ms
    if abs(passed_ms) < 1_000:
        return "now"
    return f"{span(passed_ms)} ago" if passed_ms > 0 else f"in {span(-passed_ms)}"


def moment(at_ms: int | None) -> str:
    """`2026-01-31 09:30:00Z`; `-` for None."""
    text = rfc3339(at_ms)
    return "-" if text is None else f"{text[:10]} {text[11:19]}Z"


def when(at_ms: int | None, now_ms: int) -> str:
    """`2026-01-31 09:30:00Z (12 s ago)`; `-` for None."""
    return "-" if at_ms is None else f"{moment(at_ms)} ({ago(at_ms, now_ms)})"
