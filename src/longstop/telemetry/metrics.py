"""Metrics: numbers about a running gateway, in the text format of Prometheus."""

from collections.abc import Callable, Iterable
from functools import partial

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, generate_latest

from longstop.model.breaker import CircuitChange
from longstop.model.exchange import Answer


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

    def circuit_changed(self, change: CircuitChange) -> None:
        """Count it."""
        self._changes.labels(change.destination, change.change).inc()

    def answer(self) -> Answer:
        """All of them as they are now."""
        return Answer(200, generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)
