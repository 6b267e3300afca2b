"""What the metrics say of the store: read when they are asked for, at most once a second, and never for long.

A store that hangs must not hang the metrics, which are looked at just then. So one question is under way at a time,
whoever asks waits for it no longer than a moment, and goes without; the answer that comes later is for the next.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from longstop.model.action import Pause
from longstop.model.errors import StoreUnavailableError
from longstop.model.job import OVER, Job, JobState
from longstop.model.listing import Counts, Page
from longstop.model.node import Node
from longstop.model.rejection import HeldCount
from longstop.model.store_health import StoreHealth
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop.telemetry")

FRESH_S = 1.0
"""What was read is told for so long."""
JOBS_MAX = 100
OPEN_JOBS = tuple(state for state in JobState if state not in OVER)
PATIENCE_S = 2.0
"""A scrape waits for the store no longer than this."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """How the store stands."""

    counts: Counts
    pauses: Sequence[Pause]
    held: Sequence[HeldCount]
    nodes: Sequence[Node]
    jobs: Sequence[Job]
    """Those that are not over, JOBS_MAX of each state at most."""
    health: StoreHealth


class StoreFactsReader:
    """Reads them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._reading: asyncio.Task[StoreFacts] | None = None
        self._known: StoreFacts | None = None
        self._read_at_s = 0.0
        self._closed = False

    async def read(self) -> StoreFacts | None:
        """The facts, none older than FRESH_S; None where the store cannot say, or not in time."""
        loop = asyncio.get_running_loop()
        if self._closed:
            return None
        if self._known is not None and loop.time() - self._read_at_s < FRESH_S:
            return self._known
        if self._reading is None:
            self._reading = loop.create_task(self._ask())
            self._reading.add_done_callback(self._read)
        # Not `wait_for`: a thread that hangs in the disk cannot be broken off, and must not be waited for either.
        reading = self._reading
        await asyncio.wait([reading], timeout=PATIENCE_S)
        if not reading.done() or reading.cancelled() or reading.exception() is not None:
            return None
        return reading.result()

    async def _ask(self) -> StoreFacts:
        ledger = self._ledger
        open_jobs = [(await ledger.find_jobs(state, Page(JOBS_MAX))).rows for state in OPEN_JOBS]
        return StoreFacts(
            counts=await ledger.counts(),
            pauses=await ledger.pauses(),
            held=await ledger.held_counts(),
            nodes=await ledger.nodes(),
            jobs=[job for rows in open_jobs for job in rows],
            health=await ledger.health(self._clock.now_ms()),
        )

    def _read(self, task: asyncio.Task[StoreFacts]) -> None:
        self._reading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._known, self._read_at_s = task.result(), asyncio.get_running_loop().time()
        else:
            self._known = None
            if not isinstance(error, StoreUnavailableError):
                log.error("metrics_failed", exc_info=error)

    def close(self) -> None:
        """Ask nothing more, and let go of a question that is under way: the store is about to be closed."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
