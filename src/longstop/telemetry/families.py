"""How families of metrics are made of plain numbers: with labels, and with no more of them than a server can take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from longstop.telemetry.meter import Distribution

LabelValues = tuple[str, ...]
K = TypeVar("K", bound=LabelValues)
T = TypeVar("T")

SERIES_MAX = 1_000
"""Of one family. No name comes from a sender, so that only a configuration can have so many."""
OTHER = "(other)"
"""What is beyond that counts together, under this in each of its labels. Nothing can be named so."""


def counter(name: str, about: str, labels: Sequence[str], rows: Mapping[K, float]) -> CounterMetricFamily:
    """A counter; `name` without its `_total`."""
    family = CounterMetricFamily(name, about, labels=labels)
    for values, number in bounded(rows, sum):
        family.add_metric(values, number)
    return family


def gauge(name: str, about: str, labels: Sequence[str], rows: Mapping[K, float]) -> GaugeMetricFamily:
    """A gauge."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, number in bounded(rows, sum):
        family.add_metric(values, number)
    return family


def histogram(name: str, about: str, labels: Sequence[str], rows: Mapping[K, Distribution]) -> HistogramMetricFamily:
    """A histogram."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, each in bounded(rows, together):
        bounds = [*(f"{float(bound):g}" for bound in each.bounds), "+Inf"]
        cumulative = [float(number) for number in accumulate(each.bins)]
        family.add_metric(values, list(zip(bounds, cumulative, strict=True)), each.sum)
    return family


def bounded(rows: Mapping[K, T], add_up: Callable[[Iterable[T]], T]) -> list[tuple[LabelValues, T]]:
    """The rows, where there are too many with those beyond the first few added up. Which come first never changes."""
    found: list[tuple[LabelValues, T]] = list(rows.items())
    if len(found) <= SERIES_MAX:
        return found
    kept, others = found[: SERIES_MAX - 1], found[SERIES_MAX - 1 :]
    return [*kept, ((OTHER,) * len(kept[0][0]), add_up(number for _, number in others))]


def together(parts: Iterable[Distribution]) -> Distribution:
    """What several distributions with the same bounds come to; at least one."""
    parts = list(parts)
    whole = Distribution(parts[0].bounds)
    whole.bins = [sum(column) for column in zip(*(each.bins for each in parts), strict=True)]
    whole.sum = sum(each.sum for each in parts)
    return whole
