"""Metrics: numbers about a running gateway, in the text format of Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from longstop.model.breaker import CircuitChange
from longstop.model.exchange import Answer
from longstop.model.rejection import UNKNOWN, RejectionReason

Totals = Mapping[tuple[str, RejectionReason], int]
"""How many requests were refused, by source and reason."""


class Metrics:
    """The metrics of one gateway, in a registry of their own: an application may have others in its process.

    destinations: those that this process delivers to. is_open: whether the circuit of one of them is open, asked
    whenever the metrics are read; so a circuit that another process opened or closed is told as it stands.
    """

    def __init__(self, destinations: Iterable[str], is_open: Callable[[str], bool]) -> None:
        self._registry = CollectorRegistry()
        open_ = Gauge(
            "longstop_circuit_open",
            "1 while the destination's circuit is open and it gets nothing but probes, else 0.",
            ["destination"],
            registry=self._registry,
        )
        self._changes = Counter(
            "longstop_circuit_changes",
            "How often this process opened and closed the destination's circuit.",
            ["destination", "change"],
            registry=self._registry,
        )
        for name in destinations:
            open_.labels(name).set_function(partial(is_open, name))
            for change in ("opened", "closed"):
                # There from the start: a counter that first appears with its first event hides that event from rate().
                self._changes.labels(name, change)

    def watch_refusals(self, sources: Iterable[str], totals: Callable[[], Totals]) -> None:
        """Show how many requests were refused. sources: those that are configured; totals: asked at each reading."""
        self._registry.register(_Refusals(tuple(sources), totals))

    def circuit_changed(self, change: CircuitChange) -> None:
        """Count it."""
        self._changes.labels(change.destination, change.change).inc()

    def answer(self) -> Answer:
        """All of them as they are now."""
        return Answer(200, generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


class _Refusals(Collector):
    """The counter of refused requests, which are counted elsewhere."""

    def __init__(self, sources: Sequence[str], totals: Callable[[], Totals]) -> None:
        # There from the start, as the changes of circuits are.
        expected = [
            (name, each) for name in sources for each in (RejectionReason.NO_PROOF, RejectionReason.WRONG_PROOF)
        ]
        self._zeros = dict.fromkeys([*expected, (UNKNOWN, RejectionReason.UNKNOWN_SOURCE)], 0)
        self._totals = totals

    def collect(self) -> Iterator[CounterMetricFamily]:
        about = "How many requests this process refused. All names that no source has count as one."
        family = CounterMetricFamily("longstop_events_refused", about, labels=["source", "reason"])
        for (source, reason), number in {**self._zeros, **self._totals()}.items():
            family.add_metric([source, reason.value], number)
        yield family
