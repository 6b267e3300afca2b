"""Metrics: numbers about a running gateway, in the text format of Prometheus. docs/metrics.md lists them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from longstop import __version__
from longstop.model.breaker import CircuitChange
from longstop.model.delivery import DeadReason, OutcomeKind, State, Trigger
from longstop.model.exchange import Answer
from longstop.model.job import JobAction, JobState
from longstop.model.rejection import UNKNOWN, RejectionReason
from longstop.model.spool import SpoolFacts
from longstop.model.store_health import StoreHealth, StoreWarningKind
from longstop.ports import Clock
from longstop.telemetry.families import LabelValues, counter, gauge, histogram, together
from longstop.telemetry.meter import Distribution, Meter
from longstop.telemetry.store_facts import OPEN_JOBS, StoreFacts, StoreFactsReader

Totals = Mapping[tuple[str, RejectionReason], int]
"""How many requests were refused, by source and reason."""

_DIED = (DeadReason.EXHAUSTED, DeadReason.REJECTED, DeadReason.EXPIRED, DeadReason.CRASHED)
"""Why deliveries die that were to be delivered."""
_BY_PEOPLE = (Trigger.REPLAY, Trigger.DISCARD, Trigger.EXPEDITE)
_OPERATIONS = ("append", "lease", "extend", "settle", "act", "advance_job")
_ROLES = ("ingest", "work")


@dataclass(frozen=True, slots=True)
class Names:
    """What this process has to do with: it is in the metrics from the start, with zeros.

    A counter that first appears with its first event hides that event from rate().
    """

    sources: tuple[str, ...] = ()
    """Whose events it accepts."""
    destinations: tuple[str, ...] = ()
    """Which it delivers to."""
    routes: tuple[tuple[str, str], ...] = ()
    """Sources with the destinations that their events may go to."""


@dataclass(frozen=True, slots=True)
class Here:
    """What the metrics ask this process when they are read."""

    ready: Callable[[], bool]
    delivers: bool = True
    is_open: Callable[[str], bool] = lambda _: False
    """Whether a destination's circuit is open: as it stands, also where another process has changed it."""
    refused: Callable[[], Totals] | None = None
    """None: it accepts nothing."""
    accepting: Callable[[], bool] | None = None
    free_bytes: Callable[[], int] | None = None
    """Of the store's disk; None: it has none. May raise OSError."""
    spool: Callable[[], SpoolFacts | None] | None = None
    """How the spool stands; None: there is none."""


class Metrics:
    """The metrics of one gateway, in a registry of their own: an application may have others in its process."""

    def __init__(self, meter: Meter, names: Names, here: Here, store: StoreFactsReader, clock: Clock) -> None:
        self._changes: dict[LabelValues, int] = {
            (name, change): 0 for name in names.destinations for change in ("opened", "closed")
        }
        self._store = store
        self._of_store = _OfStore(names, clock)
        self._registry = CollectorRegistry()
        self._registry.register(_OfProcess(meter, names))
        self._registry.register(_OfHere(names, here, self._changes))
        self._registry.register(self._of_store)

    def watch_process(self) -> None:
        """Show the usual metrics of a process as well: an application has its own."""
        ProcessCollector(registry=self._registry)

    def circuit_changed(self, change: CircuitChange) -> None:
        """Count it."""
        self._changes[change.destination, change.change] += 1

    async def answer(self) -> Answer:
        """All of them as they are now. Where the store cannot say how it stands, or not in time, what it would say is
        left out, and `longstop_store_up` is 0."""
        self._of_store.facts = await self._store.read()
        return Answer(200, generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)


class _OfProcess(Collector):
    """What this process has done since its start."""

    def __init__(self, meter: Meter, names: Names) -> None:
        self._meter = meter
        self._names = names
        # By being asked for once they are there.
        for pair in self._routes():
            meter.latencies[pair]
        for destination in names.destinations:
            meter.durations[destination]

    def _routes(self) -> list[tuple[str, str]]:
        # A process that delivers nothing has no part in what comes of deliveries.
        return [pair for pair in self._names.routes if pair[1] in self._names.destinations]

    def collect(self) -> Iterator[Metric]:
        yield from self._events()
        yield from self._deliveries()
        yield from self._attempts()
        yield from self._operations()

    def _events(self) -> Iterator[Metric]:
        meter = self._meter
        families: tuple[tuple[str, str, Mapping[str, int]], ...] = (
            ("accepted", "Events that were kept and could be read.", meter.accepted),
            ("duplicate", "Requests that were answered as duplicates of an event that is kept.", meter.duplicate),
            ("quarantined", "Events that were kept and could not be read.", meter.quarantined),
            ("unrouted", "Of the accepted events, those that no route wanted.", meter.unrouted),
        )
        for name, about, counts in families:
            rows: dict[LabelValues, int] = {(source,): 0 for source in self._names.sources}
            rows.update({(source,): number for source, number in counts.items()})
            yield counter(f"longstop_events_{name}", about, ["source"], rows)

    def _deliveries(self) -> Iterator[Metric]:
        meter, names, routes = self._meter, self._names, self._routes()
        pair_of = ["source", "destination"]
        delivered = {**dict.fromkeys(routes, 0), **meter.delivered}
        yield counter("longstop_deliveries_delivered", "Deliveries that arrived.", pair_of, delivered)
        dead: dict[LabelValues, int] = {(*pair, reason.value): 0 for pair in routes for reason in _DIED}
        dead.update({(*pair, reason.value): number for (*pair, reason), number in meter.dead.items()})
        yield counter("longstop_deliveries_dead", "Deliveries that were parked.", [*pair_of, "reason"], dead)
        yield histogram(
            "longstop_delivery_latency_seconds",
            "From the acceptance of an event to its delivery, of what nobody replayed.",
            ["destination"],
            _by_destination(meter.latencies),
        )
        rescued = {**dict.fromkeys(names.destinations, 0), **meter.rescued}
        yield counter(
            "longstop_leases_rescued",
            "Deliveries that were brought back because their worker died or stood still.",
            ["destination"],
            {(name,): number for name, number in rescued.items()},
        )
        about = "Leases of this process that somebody else had by the time it reported."
        yield counter("longstop_leases_lost", about, [], {(): meter.lost})

    def _attempts(self) -> Iterator[Metric]:
        meter, names = self._meter, self._names
        attempts = _counts((name, kind.value) for name in names.destinations for kind in OutcomeKind)
        for (_, destination, outcome), number in meter.attempts.items():
            attempts[destination, outcome.value] += number
        about = "Attempts that ended, by their outcome."
        yield counter("longstop_attempts", about, ["destination", "outcome"], attempts)
        yield histogram(
            "longstop_attempt_duration_seconds",
            "How long attempts took, failed ones too.",
            ["destination"],
            {(name,): each for name, each in meter.durations.items()},
        )

    def _operations(self) -> Iterator[Metric]:
        meter = self._meter
        acted = {**dict.fromkeys((each.value for each in _BY_PEOPLE), 0), **meter.actions}
        yield counter(
            "longstop_actions",
            "Deliveries that people, or their jobs, replayed, discarded or expedited through this process.",
            ["action"],
            {(name,): number for name, number in acted.items()},
        )
        yield histogram(
            "longstop_store_operation_duration_seconds",
            "How long the store took, from the call to the answer.",
            ["operation"],
            {(name,): each for name, each in meter.operations.items()},
        )
        errors = {**dict.fromkeys(_OPERATIONS, 0), **meter.errors}
        yield counter(
            "longstop_store_errors",
            "Operations that the store could not do.",
            ["operation"],
            {(name,): number for name, number in errors.items()},
        )
        yield histogram(
            "longstop_group_commit_size",
            "How many appends or settlements shared a commit.",
            ["operation"],
            {(name,): each for name, each in meter.sizes.items()},
        )


class _OfHere(Collector):
    """How this process stands."""

    def __init__(self, names: Names, here: Here, changes: Mapping[LabelValues, int]) -> None:
        self._names = names
        self._here = here
        self._changes = changes

    def collect(self) -> Iterator[Metric]:
        here, destinations = self._here, self._names.destinations
        yield gauge("longstop_build_info", "1, with the version that runs.", ["version"], {(__version__,): 1})
        yield gauge("longstop_ready", "1 while /readyz answers 200, else 0.", [], {(): here.ready()})
        if here.accepting is not None:
            about = "1 while events are taken, 0 while senders get 503: the backlog, the disk, a stop."
            yield gauge("longstop_accepting", about, [], {(): here.accepting()})
        if here.free_bytes is not None:
            about = "Room on the disk that the store is on."
            yield gauge("longstop_disk_free_bytes", about, [], _or_nothing(here.free_bytes))
        yield gauge(
            "longstop_circuit_open",
            "1 while the destination's circuit is open and it gets nothing but probes, else 0.",
            ["destination"],
            {(name,): here.is_open(name) for name in destinations},
        )
        yield counter(
            "longstop_circuit_changes",
            "How often this process opened and closed the destination's circuit.",
            ["destination", "change"],
            self._changes,
        )
        if here.refused is not None:
            yield self._refused(here.refused())
        spool = None if here.spool is None else here.spool()
        if spool is not None:
            yield from _spool(spool)

    def _refused(self, totals: Totals) -> Metric:
        rows: dict[LabelValues, int] = {
            (name, each.value): 0
            for name in self._names.sources
            for each in (RejectionReason.NO_PROOF, RejectionReason.WRONG_PROOF)
        }
        rows[UNKNOWN, RejectionReason.UNKNOWN_SOURCE.value] = 0
        rows.update({(source, reason.value): number for (source, reason), number in totals.items()})
        about = "How many requests this process refused. All names that no source has count as one."
        return counter("longstop_events_refused", about, ["source", "reason"], rows)


def _spool(facts: SpoolFacts) -> Iterator[Metric]:
    about = "1 while new events go into the spool and not into the store, else 0."
    yield gauge("longstop_spool_in_use", about, [], {(): facts.in_use})
    yield gauge(
        "longstop_spool_events", "Events in the spool, which the store does not have yet.", [], {(): facts.events}
    )
    yield gauge("longstop_spool_bytes", "Bytes of their bodies and headers.", [], {(): facts.bytes})
    about = "Events in the spool that the store refuses: they wait for a person."
    yield gauge("longstop_spool_stuck_events", about, [], {(): facts.stuck})
    yield counter("longstop_spool_put", "Events that this process has put into the spool.", [], {(): facts.spooled})
    about = "Events that this process has brought from the spool to the store."
    yield counter("longstop_spool_forwarded", about, [], {(): facts.forwarded})


class _OfStore(Collector):
    """How the store stands: the same in every process that works on it."""

    def __init__(self, names: Names, clock: Clock) -> None:
        self._names = names
        self._clock = clock
        self.facts: StoreFacts | None = None

    def collect(self) -> Iterator[Metric]:
        facts = self.facts
        yield gauge("longstop_store_up", "1 where the store could say how it stands.", [], {(): facts is not None})
        if facts is not None:
            yield from self._counted(facts)
            yield from self._waiting(facts)
            yield from self._jobs(facts)
            yield from _health(facts.health)

    def _counted(self, facts: StoreFacts) -> Iterator[Metric]:
        counts = facts.counts
        events = {(name,): 0 for name in self._names.sources} | {(name,): n for name, n in counts.sources.items()}
        yield gauge("longstop_store_events", "Events that are kept now.", ["source"], events)
        about = "Events that are kept now and that no route wanted."
        yield gauge("longstop_store_unrouted_events", about, [], {(): counts.unrouted})
        deliveries = _counts((name, state.value) for name in self._destinations(facts) for state in State)
        for destination, states in counts.deliveries.items():
            deliveries.update({(destination, state.value): number for state, number in states.items()})
        about = "Deliveries that are kept now, by their state. An empty destination: what could not be read."
        yield gauge("longstop_store_deliveries", about, ["destination", "state"], deliveries)
        held = {(name,): 0 for name in self._names.sources} | {(each.source,): each.requests for each in facts.held}
        about = "Requests that were not verified and are kept apart, to be released."
        yield gauge("longstop_held_requests", about, ["source"], held)

    def _waiting(self, facts: StoreFacts) -> Iterator[Metric]:
        now_ms = self._clock.now_ms()
        destinations = self._destinations(facts)
        oldest = facts.counts.oldest_waiting
        ages = {(name,): max(0, now_ms - oldest.get(name, now_ms)) / 1000 for name in destinations}
        about = "Since when the oldest event waits that is scheduled or leased; 0 where none does."
        yield gauge("longstop_oldest_waiting_age_seconds", about, ["destination"], ages)
        paused = {each.destination for each in facts.pauses}
        rows = {(name,): name in paused for name in (*destinations, *paused)}
        yield gauge("longstop_destination_paused", "1 while a person has paused it.", ["destination"], rows)
        nodes = _counts((role,) for role in _ROLES)
        for node in facts.nodes:
            for role in node.roles if node.runs(now_ms) else ():
                nodes[role,] += 1
        yield gauge("longstop_nodes", "Processes on the store that have been heard of lately.", ["role"], nodes)

    def _jobs(self, facts: StoreFacts) -> Iterator[Metric]:
        states = _counts((state.value,) for state in OPEN_JOBS)
        remaining = _counts((action.value,) for action in JobAction)
        for job in facts.jobs:
            states[job.state.value,] += 1
            if job.state is not JobState.FAILED:
                remaining[job.action.value,] += max(0, job.total - job.gone_through)
        yield gauge("longstop_jobs", "Jobs that are not over.", ["state"], states)
        about = "Deliveries that jobs which run or are paused have still to deal with."
        yield gauge("longstop_job_deliveries_remaining", about, ["action"], remaining)

    def _destinations(self, facts: StoreFacts) -> list[str]:
        known = [*self._names.destinations, *(name for _, name in self._names.routes), *facts.counts.deliveries]
        return list(dict.fromkeys(known))


def _health(health: StoreHealth) -> Iterator[Metric]:
    there = {each.kind for each in health.warnings}
    rows: dict[LabelValues, float] = {(kind.value,): kind in there for kind in StoreWarningKind}
    yield gauge("longstop_store_warning", "1 while there is something to warn of, else 0.", ["kind"], rows)
    about = "How old the oldest snapshot is that keeps the database from clearing away what has ended; 0: none."
    yield gauge("longstop_store_oldest_snapshot_age_seconds", about, [], {(): (health.oldest_snapshot_ms or 0) / 1000})


def _counts(keys: Iterable[LabelValues]) -> dict[LabelValues, int]:
    return defaultdict(int, dict.fromkeys(keys, 0))


def _by_destination(latencies: Mapping[tuple[str, str], Distribution]) -> dict[LabelValues, Distribution]:
    parts: dict[LabelValues, list[Distribution]] = defaultdict(list)
    for (_, destination), each in latencies.items():
        parts[destination,].append(each)
    return {values: together(each) for values, each in parts.items()}


def _or_nothing(ask: Callable[[], int]) -> dict[LabelValues, int]:
    try:
        return {(): ask()}
    except OSError:
        return {}
