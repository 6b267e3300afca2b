"""The meter: what this process has done since its start, as plain numbers.

It is told at the ports' boundary, a batch at a time, and so costs a few additions an event; nobody else counts. What
is asked for now and then (the metrics, the statistics) is made of it when it is asked for.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence

from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Delivery, OutcomeKind, State
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.job import Job, JobStep
from longstop.model.lease import Settlement
from longstop.model.statistics import LATENCY_BOUNDS_S, Counted, Series, latency_bin

DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OPERATION_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128)

_ACCEPTED, _DEAD = ReceiptStatus.ACCEPTED, State.DEAD
_DELIVERED, _LOST, _SUCCESS = State.DELIVERED, OutcomeKind.LOST, OutcomeKind.SUCCESS
_NO_FAILURE = frozenset({OutcomeKind.SUCCESS, OutcomeKind.INTERRUPTED})

Pair = tuple[str, str]
"""A source and a destination."""


class Distribution:
    """How often a number fell into which bin, and what all of them come to."""

    __slots__ = ("bins", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.bins = [0] * (len(bounds) + 1)
        """The last one has no bound."""
        self.sum = 0.0

    def add(self, number: float) -> None:
        """One more."""
        self.bins[bisect_left(self.bounds, number)] += 1
        self.sum += number


class Meter:
    """All that is counted. Its names are bounded by the configuration, and by what earlier ones left in the store."""

    def __init__(self) -> None:
        self.accepted: dict[str, int] = defaultdict(int)
        """By source, as the three that follow. A request makes an event that is accepted or quarantined, or none."""
        self.duplicate: dict[str, int] = defaultdict(int)
        self.quarantined: dict[str, int] = defaultdict(int)
        self.unrouted: dict[str, int] = defaultdict(int)
        """Of those that were accepted."""
        self.delivered: dict[Pair, int] = defaultdict(int)
        self.dead: dict[tuple[str, str, DeadReason], int] = defaultdict(int)
        self.attempts: dict[tuple[str, str, OutcomeKind], int] = defaultdict(int)
        self.durations: dict[str, Distribution] = defaultdict(lambda: Distribution(DURATION_BOUNDS_S))
        """Of attempts, in seconds, by destination."""
        self.latencies: dict[Pair, Distribution] = defaultdict(lambda: Distribution(LATENCY_BOUNDS_S))
        """From acceptance to delivery, in seconds."""
        self.rescued: dict[str, int] = defaultdict(int)
        """Leases that ran out and were brought back, by destination."""
        self.lost = 0
        """Leases that this process held and somebody else has by now."""
        self.actions: dict[str, int] = defaultdict(int)
        """What people, and their jobs, did to deliveries, by what that was."""
        self.operations: dict[str, Distribution] = defaultdict(lambda: Distribution(OPERATION_BOUNDS_S))
        """How long the store took, in seconds, by operation."""
        self.sizes: dict[str, Distribution] = defaultdict(lambda: Distribution(SIZE_BOUNDS))
        """How many shared a commit, by operation."""
        self.errors: dict[str, int] = defaultdict(int)
        """Operations that the store could not do, by name."""

    # -- what it is told -------------------------------------------------------------------------

    def appended(self, appends: Sequence[Append], receipts: Sequence[Receipt]) -> None:
        """A batch was kept. This is on every request's way."""
        accepted = self.accepted
        for item, receipt in zip(appends, receipts, strict=True):
            source, deliveries = item.event.source, item.deliveries
            if receipt.status is not _ACCEPTED:
                self.duplicate[source] += 1
            elif not deliveries:
                accepted[source] += 1
                self.unrouted[source] += 1
            elif deliveries[0].state is _DEAD:
                self.quarantined[source] += 1
            else:
                accepted[source] += 1

    def settled(self, settlements: Sequence[Settlement], results: Sequence[object | None]) -> None:
        """A batch of leases ended; a result that is not None says that it was lost."""
        for settlement, lost in zip(settlements, results, strict=True):
            if lost is None:
                self._ended(settlement)
            else:
                self.lost += 1

    def _ended(self, settlement: Settlement) -> None:
        delivery, attempt = settlement.delivery, settlement.attempt
        source, destination = delivery.source, delivery.destination
        if attempt is not None:
            self.attempts[source, destination, attempt.outcome] += 1
            if attempt.outcome is _LOST:
                # How long it really took nobody knows.
                self.rescued[destination] += 1
            else:
                self.durations[destination].add(attempt.duration_ms / 1000)
        if delivery.state is _DELIVERED:
            self.delivered[source, destination] += 1
            self._arrived(delivery)
        elif delivery.state is _DEAD:
            assert delivery.reason is not None
            self.dead[source, destination, delivery.reason] += 1

    def _arrived(self, delivery: Delivery) -> None:
        # What a person sent again has waited for that person.
        if delivery.round == 1 and delivery.ended_at_ms is not None:
            waited_ms = max(0, delivery.ended_at_ms - delivery.received_at_ms)
            self.latencies[delivery.source, delivery.destination].add(waited_ms / 1000)

    def extended(self, results: Sequence[object | None]) -> None:
        """Leases were to be extended; a result that is not None says that it was lost."""
        self.lost += sum(result is not None for result in results)

    def acted(self, actions: Sequence[Action], results: Sequence[Delivery | None]) -> None:
        """People's decisions were carried out; a result that is None says that one was not."""
        for action, result in zip(actions, results, strict=True):
            if result is not None:
                self.actions[action.transition.trigger.value] += 1

    def advanced(self, step: JobStep, job: Job | None) -> None:
        """A job went a step further; None: it was refused. Of its decisions, a few may have come too late."""
        for decision in step.decisions if job is not None else ():
            self.actions[decision.action.transition.trigger.value] += 1

    def took(self, operation: str, seconds: float) -> None:
        """The store has done something."""
        self.operations[operation].add(seconds)

    def failed(self, operation: str) -> None:
        """The store could not do something."""
        self.errors[operation] += 1

    # -- what the statistics are made of ---------------------------------------------------------

    def totals(self) -> Mapping[Counted, int]:
        """What the statistics keep, since the start."""
        totals: dict[Counted, int] = defaultdict(int)
        by_source = {
            Series.ACCEPTED: self.accepted,
            Series.DUPLICATE: self.duplicate,
            Series.QUARANTINED: self.quarantined,
        }
        for series, counts in by_source.items():
            totals.update({(series.value, source, ""): number for source, number in counts.items()})
        for (source, destination), number in self.delivered.items():
            totals[Series.DELIVERED.value, source, destination] = number
        for (source, destination, outcome), number in self.attempts.items():
            if outcome not in _NO_FAILURE:
                totals[Series.FAILED_ATTEMPTS.value, source, destination] += number
        for (source, destination, _), number in self.dead.items():
            totals[Series.DEAD.value, source, destination] += number
        for (source, destination), latency in self.latencies.items():
            for place, number in enumerate(latency.bins):
                if number:
                    totals[latency_bin(place), source, destination] = number
        return totals
