"""What every command needs: the store, closed yet, and how the configuration reads and routes."""

import contextlib
import os
import random
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from longstop.archives.lines import from_line, to_line
from longstop.clock import SystemClock
from longstop.config import SOURCE_KINDS, Config
from longstop.delivering.clock_watch import ClockRepairs, ClockWatch, longest_wait_ms
from longstop.model.backpressure import Watermarks
from longstop.model.breaker import CircuitChange
from longstop.model.caller import Caller
from longstop.model.errors import ConfigurationError, StoreUnavailableError
from longstop.model.ids import IdFactory
from longstop.model.listing import EventFilter, Page
from longstop.model.routing import Route, Router
from longstop.model.settings import DestinationSettings, SourceSettings, VerifySettings
from longstop.model.spool import SpoolFacts
from longstop.operating.access import Access, AccessSettings
from longstop.operating.accounts import Accounts
from longstop.operating.alerts import Alerts
from longstop.operating.audit import Auditor
from longstop.operating.bodies import Bodies
from longstop.operating.event_lines import EventLines
from longstop.operating.job_runner import JobRunner
from longstop.operating.jobs import JobService
from longstop.operating.login_limits import LoginLimits
from longstop.operating.masking import Masking, Selected
from longstop.operating.move import Move
from longstop.operating.passwords import Passwords
from longstop.operating.pause import Pausing
from longstop.operating.release import Release
from longstop.operating.replay import Replay
from longstop.operating.retention import Retention
from longstop.ports import AlertListener, Archive, Backups, Clock, Source, Store
from longstop.sources import KINDS, build
from longstop.sources.reading import compile_condition
from longstop.sources.reading_process import ReadingProcess
from longstop.sources.reading_worker import RouteSpec, Setup
from longstop.wiring.archives import make_archive
from longstop.wiring.spool import facts_of, told
from longstop.wiring.stores import is_there, make_store

if TYPE_CHECKING:
    from longstop.stores.spool import SpooledStore

IDS_BEGIN = "0"
"""All of them, until the year 2527: they begin with the time."""


def process_name() -> str:
    """This process, as leases and nodes name it: two never share it at the same time.

    Functions have neither names of hosts nor process ids that tell them apart; theirs is drawn, by each who asks.
    """
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if function is not None:
        return f"{function}:{secrets.token_hex(6)}"
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass
class Parts:
    """What every command needs: the store, closed yet, and how the configuration reads and routes."""

    config: Config
    store: Store
    sources: Mapping[str, Source]
    router: Router
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    ids: IdFactory = field(init=False)
    spooled: "SpooledStore | None" = None
    """The store with its spool, where a gateway has put one in front."""

    def __post_init__(self) -> None:
        self.ids = IdFactory(self.rng)

    async def open(self, by_events: bool = False) -> None:
        """Open the store, and go on behind the ids that are in it: order is by id, and the clock may have been set
        back since. by_events: those of events are enough. Raises StoreError."""
        await self.store.open()
        if self.spooled is not None and self.spooled.newest_id is not None:
            self.ids.go_on_after(self.spooled.newest_id)
        try:
            await self._go_on_behind_what_is_there(by_events)
        except StoreUnavailableError:
            # With a spool a gateway starts without its store.
            if self.spooled is None:
                raise

    async def _go_on_behind_what_is_there(self, by_events: bool) -> None:
        # The youngest of events and deliveries, and nothing of it but its id.
        found = await self._newest_events() if by_events else await self.store.find_ids(IDS_BEGIN, 1)
        for id_ in found:
            self.ids.go_on_after(id_)

    async def _newest_events(self) -> Sequence[str]:
        return [each.event.id for each in (await self.store.find_events(EventFilter(), Page(1))).rows]

    def spool(self) -> SpoolFacts | None:
        """How the spool stands; None where none is configured."""
        return facts_of(self.config) if self.spooled is None else self.spooled.facts()

    def auditor(self, caller: Caller) -> Auditor:
        """What notes in the audit log what a caller does."""
        return Auditor(self.store, self.clock, self.ids, caller)

    def jobs(self, caller: Caller) -> JobService:
        """The service that makes and stops jobs, on behalf of whoever asks."""
        return JobService(self.store, self.clock, self.ids, caller.name, self.auditor(caller))

    def job_runner(self, delivers: bool) -> JobRunner:
        """What carries jobs out in this process. delivers: whether anybody delivers what it releases."""
        return JobRunner(self.store, self.clock, self._replay_of_job, process_name(), delivers)

    def _replay_of_job(self, by: str) -> Replay:
        """The replay service for a job: that it was asked for has been noted."""
        return Replay(self.store, self.sources, self.router, self.clock, self.ids, by)

    def replay(self, caller: Caller) -> Replay:
        """The replay service, on behalf of whoever asks."""
        by, auditor = caller.name, self.auditor(caller)
        return Replay(self.store, self.sources, self.router, self.clock, self.ids, by, auditor)

    def pausing(self, caller: Caller) -> Pausing:
        """The service that pauses and resumes, on behalf of whoever asks."""
        return Pausing(self.store, self.clock, self.alert, self.auditor(caller))

    def bodies(self, caller: Caller) -> Bodies:
        """What hands out bodies to whoever asks."""
        return Bodies(self.masking, self.auditor(caller))

    def accounts(self, caller: Caller) -> Accounts:
        """The service that changes users and tokens, on behalf of whoever asks."""
        return Accounts(self.store, self.passwords, self.auditor(caller), self.clock, self.ids)

    @cached_property
    def passwords(self) -> Passwords:
        """What hashes and compares passwords; one, so that the limit on how many at once holds for all."""
        return Passwords()

    @cached_property
    def masking(self) -> Masking:
        """What is hidden from people without the scope for it."""
        shown = ((each.name, Selected(each.type, each.key, each.dedup)) for each in self.config.sources)
        return Masking(self.config.operators.mask, shown)

    def access(self) -> Access:
        """What tells who a request is from."""
        settings = self.config.operators
        return Access(
            self.store,
            self.auditor,
            self.passwords,
            LoginLimits(self.clock, secrets.token_bytes()),
            self.clock,
            self.ids,
            AccessSettings(settings.session_lifetime_ms, settings.session_idle_ms, self.masking.active),
        )

    def release(self, source: str, caller: Caller) -> Release:
        """The service that releases what is held of a source. Raises ConfigurationError where secrets were not read."""
        if self.config.passed_over:
            # Whoever knows what stands in for them could have signed what is held.
            raise ConfigurationError(self.config.passed_over)
        (settings,) = (each for each in self.config.sources if each.name == source)
        return Release(
            self.store, settings, self.sources[source], self.router, self.clock, self.ids, self.auditor(caller)
        )

    @cached_property
    def archive(self) -> Archive | None:
        """Where what is forgotten is kept, if anywhere. Raises ConfigurationError."""
        return make_archive(self.config.retention.archive)

    async def close(self) -> None:
        """Close the store, and the archive where anybody has asked for it."""
        made: Archive | None = vars(self).get("archive")
        if made is not None:
            await made.close()
        await self.store.close()

    def backups(self) -> Backups | None:
        """What copies the store, where it is one file."""
        return self.store if isinstance(self.store, Backups) else None

    def event_lines(self) -> EventLines:
        """The service that exports and imports."""
        return EventLines(self.store, to_line, from_line)

    def move_to(self, target: Store) -> Move:
        """The service that moves everything into another store."""
        return Move(self.store, target, self.clock, to_line)

    def retention(self, is_mine: Callable[[], bool] = lambda: True) -> Retention:
        """The service that forgets. is_mine: as there."""
        return Retention(self.store, self.config.retention, self.clock, self.archive, is_mine)

    def alerts(
        self, node: str = "", free_bytes: Callable[[], int] | None = None, listeners: Sequence[AlertListener] = ()
    ) -> Alerts:
        """The service that decides what people are told; a gateway that runs puts it into the queue."""
        sources, told = [each.name for each in self.config.sources], self.masking.told
        settings = self.config.alerts
        return Alerts(self.store, settings, sources, self.clock, self.ids, node, free_bytes, listeners, told)

    async def alert(self, change: CircuitChange) -> str | None:
        """Have people told of a circuit that a person changed; what went wrong, None where nothing did."""
        try:
            await self.alerts().changed(change)
        except StoreUnavailableError as error:
            return str(error)
        return None


def parts(config: Config, clock: Clock | None = None) -> Parts:
    """The parts that a configuration describes. Nothing is opened yet. Raises ConfigurationError.

    Of one that passes over what is wrong, a source that cannot be built is left out too.
    """
    assert set(KINDS) == set(SOURCE_KINDS), "the configuration and the sources disagree on the kinds"
    make = _reading if config.passed_over else build
    sources = {settings.name: made for settings in config.sources if (made := make(settings)) is not None}
    routes = (
        Route(
            each.source,
            each.to,
            compile_condition(each.when) if each.when is not None else None,
            each.expire_after_ms,
            each.order_with,
            each.names,
            each.when or "",
        )
        for each in config.routes
    )
    router = Router(routes, _ordered(config))
    return Parts(config, make_store(config.store), sources, router, clock or SystemClock())


def reader(config: Config) -> ReadingProcess:
    """What reads the bodies that are too much for the event loop. No process is started before there is one."""
    routes = (
        RouteSpec(each.source, each.to, each.when, each.expire_after_ms, each.order_with, each.names)
        for each in config.routes
    )
    return ReadingProcess(Setup(tuple(config.sources), tuple(routes), _ordered(config)))


def _ordered(config: Config) -> tuple[str, ...]:
    return tuple(each.name for each in config.destinations if each.ordered)


def _reading(settings: SourceSettings) -> Source | None:
    """A source for what is kept already: its secrets were not read, so it may be one that cannot verify."""
    for possible in (settings, replace(settings, secrets=(), verify=VerifySettings(scheme="none"))):
        with contextlib.suppress(ConfigurationError):
            return build(possible)
    return None


def clock_repairs(config: Config, made: Parts, watch: ClockWatch) -> ClockRepairs:
    """What mends the traces of a clock that was wrong."""
    waits = {each.name: longest_wait_ms(each.retry, each.breaker, each.timeout_ms) for each in deliverable(config)}
    dedup_ms = max((each.dedup_window_ms for each in config.sources), default=0)
    return ClockRepairs(made.store, made.clock, watch, waits, config.worker.lease_ms, dedup_ms)


def watermarks(config: Config) -> tuple[Watermarks, Callable[[], int]]:
    """From where on nothing is taken, and what tells how much room there is; not every store has a disk here."""
    marks = Watermarks(config.pressure.max_backlog, config.pressure.min_free_bytes)
    folder = config.store.disk
    if folder is None:
        return replace(marks, min_free_bytes=0), lambda: 0
    return marks, lambda: shutil.disk_usage(folder).free


def deliverable(config: Config) -> list[DestinationSettings]:
    """The configured destinations, and the alert channels as the destinations that they are to the queue."""
    return [*config.destinations, *(each.as_destination() for each in config.alerts.channels)]


def has_store(config: Config) -> bool:
    """Whether there is a store that other processes can see: to open one that is not there would make it."""
    return is_there(config.store)


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Parts]:
    """The parts with their store open: what commands that look and decide work on."""
    if not config.store.is_shared:
        problem = 'store.url: found "memory://"; expected a store that other processes can see; use sqlite:///FILE'
        raise ConfigurationError((problem,))
    made = parts(config)
    try:
        await made.open()
    except StoreUnavailableError as error:
        raise told(error, made.spool()) from error
    try:
        yield made
    finally:
        await made.close()
