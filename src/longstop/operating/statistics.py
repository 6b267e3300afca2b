"""Statistics over time: what the meter counts is added to the store's minutes and hours, and read from there.

Every few seconds, and at the stop, what was counted since is written. A process that is killed takes the last few
seconds of statistics with it, and no event: nothing but graphs rests on these numbers.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.model.statistics import (
    HOURS,
    RESOLUTIONS,
    Bucket,
    Counted,
    Pace,
    Series,
    StatisticsError,
    StatisticsQuery,
    grown_since,
    increments,
    quantiles,
    resolution_for,
)
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop.statistics")

WRITE_EVERY_S = 10.0
AT_ONCE = 500
"""So many numbers are written, or forgotten, in one transaction."""
FORGET_EVERY_MS = 600_000
POINTS_MAX = 1_500
"""Of one series; a day of minutes is less, and so are ninety days by two hours. No screen shows more."""


IN_ONE_GO = 300
"""So many steps' quantiles are made before requests have their turn: one to two milliseconds."""


class StatisticsWriter:
    """Writes what one process counts. totals: since its start, asked each time."""

    def __init__(self, ledger: Ledger, totals: Callable[[], Mapping[Counted, int]], clock: Clock) -> None:
        self._ledger = ledger
        self._totals = totals
        self._clock = clock
        self._pace = Pace(clock.now_ms(), clock.monotonic_ms())
        self._written: dict[Counted, int] = {}
        self._forgot_at_ms = clock.monotonic_ms() - FORGET_EVERY_MS

    async def run(self) -> None:
        """Write, and forget what is old, for ever."""
        while True:
            await self._clock.sleep(WRITE_EVERY_S)
            await self.write()
            if self._clock.monotonic_ms() - self._forgot_at_ms >= FORGET_EVERY_MS:
                self._forgot_at_ms = self._clock.monotonic_ms()
                await self.forget()

    async def write(self) -> None:
        """Write what was counted since the last time. What the store cannot take now is written the next time."""
        at_ms = self._pace.now_ms(self._clock.now_ms(), self._clock.monotonic_ms())
        grown = list(grown_since(self._totals(), self._written).items())
        part = AT_ONCE // len(RESOLUTIONS)
        try:
            for start in range(0, len(grown), part):
                some = dict(grown[start : start + part])
                await self._ledger.add_statistics(increments(some, at_ms))
                self._written.update({key: self._written.get(key, 0) + number for key, number in some.items()})
        except StoreUnavailableError as error:
            log.debug("statistics_failed", error=str(error))

    async def forget(self) -> None:
        """Drop what is older than its resolution is kept for, by the time that the store has lived through."""
        try:
            lived_ms = await self._ledger.lived_until()
            if lived_ms is None:
                return
            now_ms = min(lived_ms, self._pace.now_ms(self._clock.now_ms(), self._clock.monotonic_ms()))
            for kept in RESOLUTIONS:
                await self._forget(kept.step_ms, now_ms - kept.keep_ms)
        except StoreUnavailableError as error:
            log.debug("statistics_failed", error=str(error))

    async def _forget(self, step_ms: int, before_ms: int) -> None:
        loop, gone = asyncio.get_running_loop(), AT_ONCE
        while gone == AT_ONCE:
            began_s = loop.time()
            gone = await self._ledger.forget_statistics(step_ms, before_ms, AT_ONCE)
            # As long a pause behind each transaction as it took, as retention has it.
            await self._clock.sleep(loop.time() - began_s)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which statistics: from a time (inclusive) to one (exclusive), a point for each step."""

    series: tuple[Series, ...]
    from_ms: int
    to_ms: int
    step_ms: int
    source: str | None = None
    destination: str | None = None
    by_source: bool = False
    by_destination: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time; `points` are counts, and of the latency quantiles (`Quantiles`) or None where there is
    nothing to tell."""

    series: Series
    source: str | None
    destination: str | None
    points: tuple["int | Quantiles | None", ...]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of the latencies of one step, in seconds."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Lines:
    """What was asked for. The first step may begin earlier than asked: at a whole minute or hour."""

    from_ms: int
    to_ms: int
    step_ms: int
    lines: tuple[Line, ...]


class StatisticsReader:
    """Reads them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def read(self, asked: Asked) -> Lines:
        """Raises StatisticsError for what cannot be told, StoreUnavailableError."""
        kept = resolution_for(asked.step_ms, asked.from_ms, self._clock.now_ms())
        from_ms = kept.start(asked.from_ms)
        points = -((from_ms - asked.to_ms) // asked.step_ms)
        if not 0 < points <= POINTS_MAX:
            raise StatisticsError(
                f"found {points} steps from `from` to `to`; expected 1 to {POINTS_MAX}: ask for longer steps"
            )
        until_ms = from_ms + points * asked.step_ms
        lines: list[Line] = []
        for series in asked.series:
            query = StatisticsQuery(
                *(series.value, kept.step_ms, from_ms, until_ms, asked.step_ms),
                *(asked.source, asked.destination, asked.by_source, asked.by_destination),
            )
            lines.extend(await self._lines(series, query, points))
        return Lines(from_ms, until_ms, asked.step_ms, tuple(lines))

    async def total(self, series: Series, source: str) -> int:
        """How much of a series there was of a source, in all the time that is kept."""
        now_ms = self._clock.now_ms()
        from_ms = HOURS.start(now_ms - HOURS.keep_ms)
        query = StatisticsQuery(series.value, HOURS.step_ms, from_ms, now_ms + 1, 2 * HOURS.keep_ms, source)
        return sum(each.n for each in await self._ledger.statistics(query))

    async def _lines(self, series: Series, query: StatisticsQuery, points: int) -> list[Line]:
        if series is Series.LATENCY:
            return await self._latencies(query, points)
        columns = _columns(await self._ledger.statistics(query), query, points)
        return [_line(series, names, tuple(column)) for names, column in columns.items()]

    async def _latencies(self, query: StatisticsQuery, points: int) -> list[Line]:
        """Of each step its quantiles, from the bins of all who delivered in it."""
        lines: dict[_Names, list[Quantiles | None]] = {}
        if not (query.by_source or query.by_destination):
            # One line in any case, as of the counts.
            lines[None, None] = [None] * points
        for number, each in enumerate(await self._ledger.statistics(query)):
            told = lines.setdefault(_names(each, query), [None] * points)
            told[_step(each, query)] = _quantiles(each.bins)
            if number % IN_ONE_GO == IN_ONE_GO - 1:
                # Ten lines of a day's minutes take tens of milliseconds; between some, requests have their turn.
                await self._clock.sleep(0)
        return [_line(Series.LATENCY, names, tuple(told)) for names, told in sorted(lines.items(), key=_by_name)]


_Names = tuple[str | None, str | None]


def _columns(buckets: Sequence[Bucket], query: StatisticsQuery, points: int) -> dict[_Names, list[int]]:
    """A number for each step, by source and destination; of what nobody asked apart there is one in any case."""
    columns: dict[_Names, list[int]] = {}
    if not (query.by_source or query.by_destination):
        columns[None, None] = [0] * points
    for each in buckets:
        columns.setdefault(_names(each, query), [0] * points)[_step(each, query)] = each.n
    return columns


def _by_name(line: tuple[_Names, object]) -> tuple[str, str]:
    (source, destination), _ = line
    return source or "", destination or ""


def _names(bucket: Bucket, query: StatisticsQuery) -> _Names:
    return bucket.source if query.by_source else None, bucket.destination if query.by_destination else None


def _step(bucket: Bucket, query: StatisticsQuery) -> int:
    return (bucket.at_ms - query.from_ms) // query.step_ms


def _line(series: Series, names: _Names, points: tuple["int | Quantiles | None", ...]) -> Line:
    return Line(series, *names, points)


def _quantiles(bins: Sequence[int]) -> Quantiles | None:
    found = quantiles(bins, (0.5, 0.99))
    return None if found is None else Quantiles(*found)
