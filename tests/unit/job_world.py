"""What the tests of jobs share: a delivering side on the virtual clock, with runners that can be killed."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from longstop.model.ids import IdFactory
from longstop.model.job import ENDED, Job, JobAction
from longstop.model.listing import DeliveryFilter
from longstop.model.routing import Route, Router
from longstop.model.settings import SourceSettings
from longstop.operating.job_runner import JobRunner
from longstop.operating.jobs import JobRequest, JobService
from longstop.operating.replay import Replay
from longstop.sources import build
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import SUCCESS, FaultyStore
from longstop.testing.tasks import end_tasks

SHOP = build(SourceSettings("shop", "generic", dedup="id", type="type", key="key"))
REPLAY, DISCARD = JobAction
ALL = DeliveryFilter()


class JobWorld:
    """Runners over one store, each with a connection of its own to it, and people who make jobs."""

    def __init__(self, store: Any, *routes: Route, ordered: Sequence[str] = (), seed: int = 1) -> None:
        self.store = store
        self.clock = VirtualClock()
        self.ids = IdFactory(random.Random(seed))
        self._router = Router(routes or [Route("shop", ("crm",))], ordered)
        self.people = JobService(store, self.clock, self.ids, "ada")
        self._running: dict[str, tuple[FaultyStore, asyncio.Task[None]]] = {}

    def replay(self, by: str, store: Any = None) -> Replay:
        return Replay(store or self.store, {"shop": SHOP}, self._router, self.clock, self.ids, by)

    def start(self, name: str = "runner-1", delivers: bool = True, store: Any = None) -> FaultyStore:
        """A runner at work; what it asks its store passes through what is returned."""
        faulty = FaultyStore(store or self.store)
        runner = JobRunner(faulty, self.clock, lambda by: self.replay(by, faulty), name, delivers)  # type: ignore[arg-type]
        self._running[name] = (faulty, asyncio.create_task(runner.run(), name=name))
        return faulty

    async def kill(self, name: str = "runner-1") -> None:
        """End it as `kill -9` does: nothing more of it reaches the store."""
        faulty, task = self._running.pop(name)
        for method in ("advance_job", "give_up_job"):
            faulty.fail(method, times=10**9)
        await end_tasks([task])

    async def stop(self, name: str = "runner-1") -> None:
        """End it as it is asked to."""
        _, task = self._running.pop(name)
        await end_tasks([task])

    async def stop_all(self) -> None:
        for name in list(self._running):
            await self.stop(name)

    async def make(self, action: JobAction = REPLAY, wanted: DeliveryFilter = ALL, **asked: Any) -> Job:
        asked.setdefault("why", "INC-7")
        return await self.people.create(JobRequest(action, wanted, **asked))

    async def job(self, made: Job) -> Job:
        return await self.people.job(made.id)

    async def ended(self, made: Job, limit_s: float = 3_600.0) -> Job:
        """The job when it has ended; also when the limit is over."""
        end_ms = self.clock.now_ms() + limit_s * 1000
        while (now := await self.job(made)).state not in ENDED and self.clock.now_ms() < end_ms:
            await self.clock.sleep(0.1)
        return now


class Sends:
    """A sender that notes when what came, and takes a while for each."""

    def __init__(self, takes_s: float = 0.01, outcome: Any = None) -> None:
        self.clock = VirtualClock()
        self.takes_s = takes_s
        self.outcome = outcome or (lambda _claim: SUCCESS)
        self.came: list[tuple[int, str]] = []
        """(when, delivery id), in order."""

    async def send(self, claim: Any, _attempt: int) -> Any:
        self.came.append((self.clock.now_ms(), claim.delivery.id))
        await self.clock.sleep(self.takes_s)
        return self.outcome(claim)

    async def close(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [id_ for _, id_ in self.came]

    def most_within(self, window_ms: int) -> int:
        """The most that came within any such window."""
        times = [at_ms for at_ms, _ in self.came]
        return max((sum(at <= each < at + window_ms for each in times) for at in times), default=0)
