"""Statistics: what happened in each minute and in each hour, as numbers that can be added up. Pure.

A *bucket* is a number: of a series, a source and a destination, within one minute or one hour. Processes add to the
same buckets, so a store only has to know how to add. A latency's distribution is a number for each of its bins, for
the same reason: bins of many minutes, of many processes, add up to those of a day, and quantiles do not. They lie in
one bucket, because they are always asked for together.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from operator import add

from longstop.model.errors import LongstopError
from longstop.model.value import value

DAY_MS = 86_400_000
SLIP_MS = 60_000
"""A clock that is further off than this of what has passed was set."""
BELIEVED_AFTER_MS = 600_000
"""So long after it was set it is believed: a wrong one is mostly put right within minutes."""


class StatisticsError(LongstopError):
    """A question that cannot be answered as it is asked."""


class Series(StrEnum):
    """What is counted."""

    ACCEPTED = "accepted"
    """Events that were kept, by source."""
    DUPLICATE = "duplicate"
    """Requests whose event was there already, by source."""
    REFUSED = "refused"
    """Requests that were refused, by source."""
    QUARANTINED = "quarantined"
    """Events that could not be read, by source."""
    DELIVERED = "delivered"
    """Deliveries that arrived, by source and destination."""
    FAILED_ATTEMPTS = "failed_attempts"
    """Attempts that failed or were lost, by source and destination; not those that a stop broke off."""
    DEAD = "dead"
    """Deliveries that were parked, by source and destination."""
    LATENCY = "latency"
    """From an event's acceptance to its delivery, in bins; of what nobody replayed."""


LATENCY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400)
"""The upper bounds of the bins, inclusive; one more bin has no bound."""
BINS = len(LATENCY_BOUNDS_S) + 1


@dataclass(frozen=True, slots=True)
class Resolution:
    """How finely buckets are kept, and for how long."""

    step_ms: int
    keep_ms: int

    def start(self, at_ms: int) -> int:
        """The start of the bucket that a time is in."""
        return at_ms - at_ms % self.step_ms


MINUTES = Resolution(60_000, 2 * DAY_MS)
HOURS = Resolution(3_600_000, 90 * DAY_MS)
RESOLUTIONS = (MINUTES, HOURS)

Counted = tuple[str, str, str]
"""The name of a series or of a bin of the latency (`latency_bin`), a source, a destination; empty where it has none."""


@value(frozen=True, slots=True)
class Bucket:
    """A number as it is kept, or to be added to what is kept."""

    step_ms: int
    """A minute or an hour."""
    at_ms: int
    """When it begins, in Unix milliseconds; a multiple of `step_ms`."""
    series: str
    """One of Series."""
    source: str
    destination: str
    n: int
    bins: tuple[int, ...] = ()
    """Of the latency: how many of `n` are in each of its BINS; else nothing."""


@value(frozen=True, slots=True)
class StatisticsQuery:
    """Which buckets to add up: of one series, from a time (inclusive) until one (exclusive), of one resolution."""

    series: str
    kept_ms: int
    """The resolution to read: `step_ms` of MINUTES or HOURS."""
    from_ms: int
    until_ms: int
    step_ms: int
    """How long each sum is: a multiple of `kept_ms`."""
    source: str | None = None
    """Only of this one; None: of all."""
    destination: str | None = None
    by_source: bool = False
    """A sum for each source; else one for all, whose source is empty."""
    by_destination: bool = False


def latency_bin(place: int) -> str:
    """The name that a bin of the latency is counted under; 0 is the quickest."""
    return _BIN_NAMES[place]


_BIN_NAMES = tuple(f"{Series.LATENCY}.{place:02}" for place in range(BINS))
_BIN_PLACES = {name: place for place, name in enumerate(_BIN_NAMES)}


def quantiles(bins: Sequence[int], shares: Sequence[float]) -> tuple[float, ...] | None:
    """The latencies in seconds that these shares of all were not over; None where there was none.

    Within a bin they are taken to be spread evenly, as Prometheus does it; beyond the last bound it is that bound.
    """
    up_to = tuple(accumulate(bins))
    return tuple(_quantile(bins, up_to, share * up_to[-1]) for share in shares) if up_to[-1] else None


def _quantile(bins: Sequence[int], up_to: Sequence[int], rank: float) -> float:
    # No bin is empty that this finds: the one before it has fewer.
    place = bisect_left(up_to, rank)
    if place >= len(LATENCY_BOUNDS_S):
        return float(LATENCY_BOUNDS_S[-1])
    low = LATENCY_BOUNDS_S[place - 1] if place else 0.0
    return low + (LATENCY_BOUNDS_S[place] - low) * (rank - up_to[place] + bins[place]) / bins[place]


def increments(grown: Mapping[Counted, int], at_ms: int) -> list[Bucket]:
    """What to add where, of what was counted since the last time and up to this one: to its minute and to its hour."""
    counts: dict[Counted, int] = {}
    latencies: dict[tuple[str, str], list[int]] = {}
    for (name, source, destination), number in grown.items():
        place = _BIN_PLACES.get(name)
        if place is not None:
            latencies.setdefault((source, destination), [0] * BINS)[place] = number
        elif number:
            counts[name, source, destination] = number
    return [
        each
        for kept in RESOLUTIONS
        for each in (
            *(Bucket(kept.step_ms, kept.start(at_ms), *names, number) for names, number in counts.items()),
            *(
                Bucket(kept.step_ms, kept.start(at_ms), Series.LATENCY.value, *names, sum(bins), tuple(bins))
                for names, bins in latencies.items()
                if any(bins)
            ),
        )
    ]


def resolution_for(step_ms: int, from_ms: int, now_ms: int) -> Resolution:
    """The coarsest of which the step is made up: the fewest numbers to add. Raises StatisticsError where there is none,
    or none that reaches back so far."""
    if step_ms <= 0 or step_ms % MINUTES.step_ms:
        raise StatisticsError(f"step: found {step_ms / 1000:g} s; expected a multiple of 60 s")
    if step_ms % HOURS.step_ms == 0:
        return HOURS
    # One step more than is kept: whoever asks for the last two days asks for a minute that is partly gone.
    if from_ms < now_ms - MINUTES.keep_ms - step_ms:
        raise StatisticsError(
            f"step: found {step_ms / 1000:g} s, from more than two days ago; minutes are kept for two days. "
            "Ask with a multiple of 3600 s"
        )
    return MINUTES


def grown_since(totals: Mapping[Counted, int], before: Mapping[Counted, int]) -> dict[Counted, int]:
    """By how much totals have grown."""
    return {key: more for key, number in totals.items() if (more := number - before.get(key, 0))}


class Pace:
    """The time by which statistics are written: the wall clock's, and for a while not what it jumped to."""

    def __init__(self, wall_ms: int, ran_ms: int) -> None:
        self._at_ms = wall_ms
        self._ran_ms = ran_ms
        self._set_ms: int | None = None
        """When it was found to have been set, by `ran_ms`."""

    def now_ms(self, wall_ms: int, ran_ms: int) -> int:
        """What time it is. wall_ms: what the clock says. ran_ms: of one that nobody sets."""
        expected_ms = self._at_ms + ran_ms - self._ran_ms
        self._ran_ms = ran_ms
        if abs(wall_ms - expected_ms) <= SLIP_MS:
            self._set_ms, self._at_ms = None, wall_ms
            return wall_ms
        if self._set_ms is None:
            self._set_ms = ran_ms
        is_believed = ran_ms - self._set_ms >= BELIEVED_AFTER_MS
        self._at_ms = wall_ms if is_believed else expected_ms
        return self._at_ms


def summed(buckets: Iterable[Bucket], wanted: StatisticsQuery) -> list[Bucket]:
    """What a query asks for of these buckets, as any store answers it: by time, source and destination."""
    sums: dict[tuple[int, str, str], tuple[int, tuple[int, ...]]] = {}
    for each in buckets:
        if not _is_wanted(each, wanted):
            continue
        at_ms = each.at_ms - (each.at_ms - wanted.from_ms) % wanted.step_ms
        group = (
            at_ms,
            each.source if wanted.by_source else "",
            each.destination if wanted.by_destination else "",
        )
        n, bins = sums.get(group, (0, ()))
        sums[group] = n + each.n, added(bins, each.bins)
    return [
        Bucket(wanted.step_ms, at_ms, wanted.series, source, destination, *numbers)
        for (at_ms, source, destination), numbers in sorted(sums.items())
    ]


def added(bins: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    """Bins of two together; of what has none, none."""
    return tuple(map(add, bins, others)) if bins and others else bins or others


def _is_wanted(bucket: Bucket, wanted: StatisticsQuery) -> bool:
    return (
        (bucket.series, bucket.step_ms) == (wanted.series, wanted.kept_ms)
        and wanted.from_ms <= bucket.at_ms < wanted.until_ms
        and wanted.source in (None, bucket.source)
        and wanted.destination in (None, bucket.destination)
    )
