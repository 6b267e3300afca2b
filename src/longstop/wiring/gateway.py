"""A running gateway: accepting, delivering or both, from its start to its stop."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

import structlog

from longstop import __version__
from longstop.accepting.backpressure import Backpressure
from longstop.accepting.ingest import Ingest
from longstop.accepting.rejections import Rejections
from longstop.config import Config
from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.clock_watch import ClockWatch
from longstop.delivering.dispatch import Dispatch
from longstop.delivering.pause_log import PauseLog
from longstop.delivering.rescue import Rescue
from longstop.group_commit import GroupCommit
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.errors import ConfigurationError
from longstop.model.fingerprint import SALT_BYTES
from longstop.model.node import Node
from longstop.model.spool import SpoolFacts
from longstop.model.store_health import StoreWarning
from longstop.operating.alerts import Alerts
from longstop.operating.heartbeat import Heartbeat
from longstop.operating.masked_store import Shown, masked_archive, masked_store
from longstop.operating.recount import Recounter
from longstop.operating.replay import Replay
from longstop.operating.spool_alerts import SpoolAlerts
from longstop.ports import CircuitListener, Clock, Store
from longstop.sources import unknown_sources
from longstop.wiring.destinations import (
    Handlers,
    OnAlert,
    build_alert_calls,
    build_channels,
    build_destinations,
    channel_sender,
)
from longstop.wiring.operators import identities
from longstop.wiring.parts import clock_repairs, deliverable, parts, process_name, reader, watermarks
from longstop.wiring.role import Role
from longstop.wiring.spool import with_spool
from longstop.wiring.tracing import build_traces, traced

if TYPE_CHECKING:
    from longstop.edges.operators.api.services import Services
    from longstop.telemetry.metrics import Here
    from longstop.telemetry.traces import Traces

ROLES = {Role.INGEST: ("ingest",), Role.WORK: ("work",), Role.BOTH: ("ingest", "work")}
log = structlog.get_logger("longstop")


class Gateway:
    """A running Longstop: accepting, delivering or both.

    A task of its own that ends with an error is reported by `failed`, and `failure` is that error: the process should
    then end and be started again, because half a gateway would look alive.
    """

    def __init__(
        self,
        config: Config,
        role: Role = Role.BOTH,
        handlers: Handlers | None = None,
        on_alert: Sequence[OnAlert] = (),
        clock: Clock | None = None,
        traces: "Traces | None" = None,
    ) -> None:
        if config.passed_over:
            # Its secrets were not read: it would believe whoever knows what stands in for them.
            raise ConfigurationError(config.passed_over)
        # Late, as in `destinations`: a command that only looks at the store has no use for it.
        from longstop.wiring.signals import Signals

        self._parts = parts(config, clock)
        self._role = role
        # On a clock that jumps, a process of its own would never be in time.
        self._reader = reader(config) if clock is None else None
        # What is missing for it shows now, and not when something is to be forgotten.
        self._archive = self._parts.archive
        clock, rng = self._parts.clock, self._parts.rng
        if Role.INGEST in role:
            self._put_spool(config, clock)
        self._signals = Signals(self._parts)
        # Whoever asks the parts for it passes the meter, too.
        store = self._parts.store = self._signals.store
        self._traces = build_traces(config, clock) if traces is None else traces
        append = store.append if self._traces is None else self._traces.appending(store.append)
        self._appends = GroupCommit(append, at_once=store.commits_at_once)
        self._settlements = GroupCommit(store.settle, at_once=store.commits_at_once)
        self._pressure = Backpressure(clock, rng, store, *watermarks(config))
        self._rejections = self._built_rejections(config)
        self.ingest = self._built_ingest()
        self._destinations = self._built_destinations(config, handlers or {}, clock) if Role.WORK in role else []
        worker = process_name()
        watch = ClockWatch(clock)
        deliver = AttemptRunner(self._settlements, clock, rng, self._signals.transactions, watch)
        self.metrics = self._signals.metrics(self._here(role))
        self._alert_calls = build_alert_calls(config, on_alert) if Role.WORK in role else []
        self._alerts = self._built_alerts(config)
        self._spool_alerts = self._built_spool_alerts(config)
        listeners: list[CircuitListener] = [self.metrics, self._alerts, *self._alert_calls]
        self._dispatch = Dispatch(store, deliver, self._destinations, clock, worker, config.worker.lease_ms, listeners)
        policies = {each.name: each.retry for each in deliverable(config)}
        self._rescue = Rescue(store, policies, clock, rng, config.worker.lease_ms, watch)
        self._clock_repairs = clock_repairs(config, self._parts, watch)
        self._heartbeat = self._built_heartbeat(_node(worker, role, clock))
        self._stop_limit_s = config.server.stop_timeout_ms / 1000
        self._tasks: list[asyncio.Task[None]] = []
        self._failed_tasks: list[str] = []
        self._stopping = False
        self._jobs: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Open the store and begin. Raises StoreError."""
        await self._parts.open()
        if self._parts.spooled is not None:
            self._background(self._parts.spooled.run(), "spool")
        if self._spool_alerts is not None:
            self._background(self._spool_alerts.run(), "spool_alerts")
        # Before anything is leased: a destination's rate is shared among those who deliver.
        await self._heartbeat.beat()
        if Role.INGEST in self._role:
            # Looked at once before anything is taken: a full disk is refused from the first request on.
            await self._pressure.look()
            self._background(self._pressure.run(), "pressure")
            self._background(self._rejections.run(), "rejections")
            self.ingest.accepting = True
        if Role.WORK in self._role:
            self._background(self._dispatch.run(), "dispatch")
            self._background(self._dispatch.keep_leases(), "keep_leases")
            self._background(self._rescue.run(), "rescue")
            self._background(PauseLog(self.store, self._parts.clock).run(), "pauses")
            self._background(self._clock_repairs.run(), "clock_repairs")
            self._jobs = self._background(self._parts.job_runner(delivers=True).run(), "jobs")
            self._background(self._alerts.run(), "alerts")
            self._background(self._parts.retention(self._is_first).run(), "retention")
            self._background(Recounter(self._parts.store, self._parts.clock, self._is_first).run(), "recount")
        self._background(self._signals.statistics.run(), "statistics")
        self._background(self._heartbeat.run(), "heartbeat")
        self._background(self._signals.store_watch.run(), "store_watch")
        for calls in self._alert_calls:
            calls.start()

    async def stop(self) -> None:
        """Take nothing more, finish what was begun (up to the limit), close."""
        self.ingest.accepting, self._stopping = False, True
        await self._appends.idle()
        if self._jobs is not None:
            # Before what is under way is waited for: nothing more is released, and another worker may go on at once.
            self._jobs.cancel()
            await asyncio.gather(self._jobs, return_exceptions=True)
        if Role.WORK in self._role:
            await self._dispatch.stop(self._stop_limit_s)
        await self._settlements.idle()
        await asyncio.gather(*(calls.stop() for calls in self._alert_calls))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if Role.WORK in self._role:
            await self._alerts.stop()
        if self._spool_alerts is not None:
            await self._spool_alerts.close()
        for destination in self._destinations:
            await destination.sender.close()
        if Role.INGEST in self._role:
            await self._rejections.stop()
        if self._reader is not None:
            await self._reader.close()
        await self._signals.stop()
        if self._traces is not None:
            await self._traces.stop()
        await self._heartbeat.leave()
        await self._parts.close()

    @property
    def store(self) -> Store:
        """Where everything is kept; open while the gateway runs."""
        return self._parts.store

    def replay(self, by: str) -> Replay:
        """The replay service, on behalf of whom the embedding application names."""
        return self._parts.replay(Caller(by, CallerKind.SYSTEM, ALL_SCOPES))

    def operators_services(self, why_not_ready: Callable[[], Sequence[str]]) -> "Services":
        """What the operators' API needs of this gateway. why_not_ready: as `GET /readyz` tells it."""
        from longstop.edges.operators.access.current import current
        from longstop.edges.operators.api.services import Services

        made = self._parts
        shown = Shown(made.masking, current)
        return Services(
            config=made.config,
            store=masked_store(made.store, shown),
            shown=shown,
            clock=made.clock,
            sources=made.sources,
            router=made.router,
            replay=made.replay,
            bodies=made.bodies,
            auditor=made.auditor,
            accounts=made.accounts,
            access=made.access() if made.config.operators.auth == "users" else None,
            identities=identities(made.config, made.clock),
            alert=made.alert,
            ids=made.ids,
            why_not_ready=why_not_ready,
            alerts=self._alerts,
            archive=masked_archive(self._archive, shown),
            spool=made.spool,
        )

    def is_busy(self) -> bool:
        """Whether attempts are under way."""
        return self._dispatch.under_way > 0

    def why_not_ready(self) -> list[str]:
        """What keeps it from accepting and delivering, in words; nothing where it does both.

        That a destination is down, its circuit open, is no reason: its events are taken and wait.
        """
        why = [f"a part of the gateway has failed: {name}" for name in self._failed_tasks]
        if self._stopping:
            why.append("stopping: nothing more is taken")
        if not self._parts.store.ready():
            why.append(
                "the store is lost: it is not open, does not answer, or its file is not the one that the path names"
            )
        spool = self._spool()
        if spool is not None and spool.in_use and spool.full:
            why.append(f"the store cannot be had, and the spool is full: {spool.why}")
        if Role.INGEST in self._role:
            why.extend(self._pressure.why_closed(needs_store=spool is None or not spool.in_use))
        return why

    def store_warnings(self) -> Sequence[StoreWarning]:
        """What to know of the store although it works, as it was when it was last asked."""
        return self._signals.store_watch.warnings

    def _put_spool(self, config: Config, clock: Clock) -> None:
        made = self._parts
        made.spooled = with_spool(config, made.store, clock)
        if made.spooled is not None:
            # It is one, but for what it hands on to the store behind it.
            made.store = cast("Store", made.spooled)

    def _spool(self) -> SpoolFacts | None:
        return None if self._parts.spooled is None else self._parts.spooled.facts()

    def _here(self, role: Role) -> "Here":
        """What the metrics ask this process when they are read."""
        from longstop.telemetry.metrics import Here

        accepts, free_bytes = Role.INGEST in role, watermarks(self._parts.config)[1]
        return Here(
            ready=lambda: not self.why_not_ready(),
            delivers=Role.WORK in role,
            is_open=self._circuit_is_open,
            refused=self._rejections.totals if accepts else None,
            accepting=(lambda: self.ingest.accepting and not self._pressure.closed) if accepts else None,
            free_bytes=free_bytes if self._parts.config.store.disk is not None else None,
            spool=self._spool if self._parts.spooled is not None else None,
        )

    def _built_rejections(self, config: Config) -> Rejections:
        made = self._parts
        salt, kept_ms = secrets.token_bytes(SALT_BYTES), config.retention.rejections_ms
        named = {each.name: each for each in config.sources}
        return Rejections(named, made.sources, made.store, made.clock, made.ids, salt, kept_ms)

    def _built_ingest(self) -> Ingest:
        made = self._parts
        return Ingest(
            made.sources,
            unknown_sources(made.sources.values(), secrets.token_bytes()),
            made.router,
            self._appends,
            made.clock,
            made.ids,
            self._pressure,
            self._rejections,
            self._reader,
        )

    def _built_destinations(self, config: Config, handlers: Handlers, clock: Clock) -> list[Destination]:
        """The configured ones, and the alert channels."""
        made = [*build_destinations(config, handlers, clock), *build_channels(config, clock)]
        return made if self._traces is None else [traced(each, self._traces, config) for each in made]

    def _built_alerts(self, config: Config) -> Alerts:
        free_bytes = watermarks(config)[1] if config.store.disk is not None else None
        return self._parts.alerts(process_name().rpartition(":")[0], free_bytes, self._alert_calls)

    def _built_spool_alerts(self, config: Config) -> SpoolAlerts | None:
        made = self._parts
        if made.spooled is None:
            return None
        senders = [channel_sender(each, made.clock) for each in config.alerts.channels]
        node = process_name().rpartition(":")[0]
        told = (self._spool, made.store, config.alerts, senders)
        return SpoolAlerts(*told, made.clock, made.ids, made.rng, node, self._alert_calls)

    def _built_heartbeat(self, node: Node) -> Heartbeat:
        return Heartbeat(
            self._parts.store,
            self._parts.clock,
            node,
            cpu_s=time.process_time,
            attempts=lambda: self._dispatch.under_way,
            workers=self._dispatch.share,
        )

    def _is_first(self) -> bool:
        return self._heartbeat.is_first

    def _circuit_is_open(self, destination: str) -> bool:
        return self._dispatch.is_open(destination)

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("failed", task=task.get_name(), exc_info=task.exception())
            self._failed_tasks.append(task.get_name())
            self.failure = self.failure or task.exception()
            self.failed.set()


def _node(name: str, role: Role, clock: Clock) -> Node:
    now_ms = clock.now_ms()
    return Node(name, ROLES[role], __version__, now_ms, now_ms)
