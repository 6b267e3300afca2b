"""Rows of statistics over time, and what can be asked of them in words."""

from collections.abc import Mapping

from longstop.edges.rows.times import TIMES_EXPECTED, read_time
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.statistics import Series, StatisticsError
from longstop.operating.statistics import Asked, Line, Lines, Quantiles

HOUR_MS = 3_600_000


def statistics_row(lines: Lines) -> Row:
    """The stable fields of statistics."""
    return {
        "from": rfc3339(lines.from_ms),
        "to": rfc3339(lines.to_ms),
        "step_s": lines.step_ms // 1000,
        "series": [line_row(each) for each in lines.lines],
    }


def line_row(line: Line) -> Row:
    """One series."""
    return {
        "name": line.series.value,
        "source": line.source,
        "destination": line.destination,
        "points": [
            {"p50": each.p50_s, "p99": each.p99_s} if isinstance(each, Quantiles) else each for each in line.points
        ],
    }


def series_named(text: str | None) -> tuple[Series, ...]:
    """The series that a text names, with commas between; all of them for none. Raises StatisticsError."""
    names = [name.strip() for name in text.split(",")] if text else [*Series]
    unknown = [name for name in names if name not in set(Series)]
    if unknown:
        raise StatisticsError(f'series: found "{unknown[0]}"; expected of these: {", ".join(Series)}')
    return tuple(Series(name) for name in dict.fromkeys(names))


def statistics_asked(query: Mapping[str, str], now_ms: int) -> Asked:
    """What a query asks for, by the names that the API has for it. Raises StatisticsError."""
    to_ms = _moment("to", query.get("to"), now_ms) or now_ms
    from_ms = _moment("from", query.get("from"), now_ms)
    return Asked(
        series_named(query.get("series")),
        to_ms - HOUR_MS if from_ms is None else from_ms,
        to_ms,
        int(query.get("step", "60")) * 1000,
        query.get("source"),
        query.get("destination"),
        query.get("by") == "source",
        query.get("by") == "destination",
    )


def _moment(name: str, text: str | None, now_ms: int) -> int | None:
    if text is None:
        return None
    at_ms = read_time(text, now_ms)
    if at_ms is None:
        raise StatisticsError(f'{name}: found "{text}"; expected {TIMES_EXPECTED}')
    return at_ms
