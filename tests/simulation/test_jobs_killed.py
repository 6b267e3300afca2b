"""Jobs killed at every step, by seed, on every store: each delivery goes out once for its job, in order, at the rate.

And the proof of the proof: with a bug planted, the same check finds it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from longstop.delivering import dispatch
from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.dispatch import Dispatch
from longstop.group_commit import GroupCommit
from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, Transition, Trigger
from longstop.model.ids import IdFactory
from longstop.model.job import LEASE_MS, Job, JobAction, JobState, JobStep
from longstop.model.lease import Claim, LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.retry import RetryPolicy
from longstop.model.routing import Route, Router
from longstop.operating import job_work
from longstop.operating.job_runner import JobRunner
from longstop.operating.jobs import JobRequest, JobService
from longstop.operating.replay import Replay
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import make_append
from longstop.testing.clock import START_MS, VirtualClock, run
from longstop.testing.tasks import end_tasks
from stores_at_hand import STORES, Place, chosen

SEEDS = {"memory": 12, "sqlite": 12}
"""So many on these; a few on each of the others, whose answers take longer."""
DESTINATIONS = ("bi", "crm")
REFUSED = Outcome(OutcomeKind.REJECT, status=422, error="no")
WAITED, LATE = 900_000, 950_000
STRANGERS = {make_append(number, to=("crm",)).deliveries[0].id for number in (WAITED, LATE)}
TAKEN = Outcome(OutcomeKind.SUCCESS, status=204)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class MortalStore:
    """What a runner asks its store passes through here, until it is killed: before or after a step is committed.

    Or it stands still, and its step arrives when another one has the job.
    """

    store: Any
    rng: random.Random
    lives: int
    """So many steps more."""
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    late: asyncio.Task[None] | None = None

    async def advance_job(self, step: JobStep) -> Job | None:
        await self._alive()
        self.lives -= 1
        if self.lives > 0:
            return await self.store.advance_job(step)  # type: ignore[no-any-return]
        dice = self.rng.random()
        if dice < 0.3:
            await self.store.advance_job(step)
        elif dice < 0.6:
            self.late = asyncio.create_task(self._arrives_late(step))
        self.dead.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def _arrives_late(self, step: JobStep) -> None:
        await asyncio.sleep(LEASE_MS / 1000 + 1.5)
        await self.store.advance_job(step)

    async def _alive(self) -> None:
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def call(*given: Any) -> Any:
            await self._alive()
            return await method(*given)

        return call


class World:
    """Two destinations, a delivering side that lives, and runners that do not."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.seed = store, seed
        self.clock, self.rng = VirtualClock(), random.Random(seed)
        self.ids = IdFactory(random.Random(seed + 1))
        self.router = Router([Route("shop", DESTINATIONS)])
        self.came: list[tuple[int, str]] = []
        self.delivered: Counter[str] = Counter()
        self.refuses: set[str] = set()
        self.kills = 0
        self.late: list[asyncio.Task[None]] = []
        self.lives_max = 12

    async def send(self, claim: Claim, _attempt: int) -> Outcome:
        self.came.append((self.clock.now_ms(), claim.delivery.id))
        await self.clock.sleep(self.rng.uniform(0, 0.05))
        return REFUSED if claim.delivery.id in self.refuses else TAKEN

    async def close(self) -> None:
        pass

    async def kill_dead(self, count: int) -> list[Delivery]:
        """So many events, dead at each destination."""
        await self.store.append([make_append(n, to=DESTINATIONS, key=f"k{n}") for n in range(1, count + 1)])
        room = dict.fromkeys(DESTINATIONS, 10_000)
        claims = (await self.store.lease(LeaseRequest("w", room, START_MS, START_MS + 1))).claims
        park = Transition(Trigger.PARK, START_MS, reason=DeadReason.REJECTED)
        await self.store.settle([Settlement(each.delivery.tried(REFUSED).after(park)) for each in claims])
        return await self.everything()

    async def everything(self) -> list[Delivery]:
        page = Page(100_000, newest_first=False)
        return list((await self.store.find_deliveries(DeliveryFilter(), page)).rows)

    async def run_job(self, rate: float | None, limit_s: float) -> Job:
        """Make a job, and carry it out by one runner after another, each killed after a few steps."""
        people = JobService(self.store, self.clock, self.ids, "ada")
        # Without a rate it takes few steps.
        self.lives_max = 4 if rate is None else 12
        made = await people.create(JobRequest(JobAction.REPLAY, DeliveryFilter(), "INC-7", rate))
        end_ms = self.clock.now_ms() + limit_s * 1000
        while (job := await people.job(made.id)).state is JobState.RUNNING and self.clock.now_ms() < end_ms:
            await self._one_life()
        await self.clock.sleep(5)
        return job

    async def _one_life(self) -> None:
        mortal = MortalStore(self.store, self.rng, self.rng.randrange(1, self.lives_max))
        name = f"runner-{self.kills}"

        def replay_for(by: str) -> Replay:
            return Replay(mortal, {}, self.router, self.clock, self.ids, by)  # type: ignore[arg-type]

        task = asyncio.create_task(JobRunner(mortal, self.clock, replay_for, name).run())  # type: ignore[arg-type]
        dying = asyncio.create_task(mortal.dead.wait())
        await asyncio.wait([dying], timeout=30)
        if mortal.dead.is_set():
            self.kills += 1
            self.late += [mortal.late] if mortal.late is not None else []
        mortal.give_up_job = _nothing  # type: ignore[attr-defined]
        await end_tasks([task], [dying])
        await self.clock.sleep(self.rng.choice([0, LEASE_MS / 1000]))


async def _nothing(*_: Any) -> None:
    """A killed process gives nothing up."""


@dataclass(frozen=True)
class Figures:
    """What a world came to."""

    job: Job
    kills: int
    again: tuple[str, ...]
    """Deliveries that went out more often than once."""
    missing: tuple[str, ...]
    """Those of the job's that did not."""
    strangers: tuple[str, ...]
    """Those that are not the job's and did not go out once by themselves."""
    in_order: bool
    over_rate: float
    """The most that came within two seconds, in shares of what the rate allows."""


def simulate(make: Callable[[], Store], seed: int, rate: float | None, count: int = 60) -> Figures:
    """One world."""
    return run(lambda: _simulate(make, seed, rate, count))


async def _simulate(make: Callable[[], Store], seed: int, rate: float | None, count: int) -> Figures:
    store = make()
    await store.open()
    try:
        world = World(store, seed)
        dead = await world.kill_dead(count)
        # It waits when the job is made, and dies while it runs.
        await store.append([make_append(WAITED, to=("crm",), due_at_ms=START_MS + 3_000)])
        world.refuses = {each.id for each in dead if world.rng.random() < 0.3} | STRANGERS
        destinations = [Destination(name, world, RetryPolicy(), 32) for name in DESTINATIONS]
        runner = AttemptRunner(GroupCommit(store.settle), world.clock, world.rng)
        works = Dispatch(store, runner, destinations, world.clock, "worker-1", 30_000)
        tasks = [asyncio.create_task(works.run()), asyncio.create_task(works.keep_leases())]
        late = asyncio.create_task(_comes_late(world))
        try:
            # With a rate, it takes so long; every kill may cost a lease, and a little.
            job = await world.run_job(rate, limit_s=2_000)
        finally:
            await end_tasks([*tasks, late, *world.late], works._running.values())
        return _reckon(world, job, [each.id for each in dead], rate)
    finally:
        await store.close()


async def _comes_late(world: World) -> None:
    """While the job runs, one more comes and dies."""
    await world.clock.sleep(3)
    await world.store.append([make_append(LATE, to=("crm",))])


def _reckon(world: World, job: Job, own: list[str], rate: float | None) -> Figures:
    came = Counter(id_ for _, id_ in world.came)
    orders = []
    for place in range(len(DESTINATIONS)):
        of_one = [id_ for _, id_ in world.came if id_ in own and own.index(id_) % len(DESTINATIONS) == place]
        orders.append(of_one == sorted(of_one))
    times = [at_ms for at_ms, id_ in world.came if id_ not in STRANGERS]
    most = max((sum(at <= each < at + 2_000 for each in times) for at in times), default=0)
    return Figures(
        job,
        world.kills,
        tuple(id_ for id_, n in came.items() if n > 1),
        tuple(id_ for id_ in own if not came[id_]),
        tuple(id_ for id_ in STRANGERS if came[id_] != 1),
        all(orders),
        0.0 if rate is None else (most - 1) / (rate * 2),
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "LOOK_AGAIN_S", 60.0)
    monkeypatch.setattr(job_work, "WAITING_MAX", 15)
    monkeypatch.setattr(job_work, "PAGE", 7)


def expect_right(figures: Figures, count: int) -> None:
    assert figures.again == ()
    assert figures.missing == ()
    assert figures.strangers == ()
    assert figures.in_order
    assert figures.over_rate <= 1.05
    job = figures.job
    assert (job.state, job.done, job.failed, job.skipped) == (JobState.DONE, count, 0, 0)


@pytest.mark.parametrize("rate", [None, 20.0])
@pytest.mark.parametrize(
    ("virtual_places", "seed"),
    [(kind, seed) for kind in chosen(STORES) for seed in range(SEEDS.get(kind, 2))],
    indirect=["virtual_places"],
)
def test_every_one_goes_out_once_whatever_is_killed(seed: int, rate: float | None, virtual_place: Place) -> None:
    figures = simulate(virtual_place, seed, rate)
    expect_right(figures, 120)
    assert figures.kills >= 1


# -- the proof of the proof ---------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def place_in_another_transaction(patch: pytest.MonkeyPatch) -> None:
    """What is decided is committed before the place is: a kill in between does it again."""
    honest = MemoryStore.advance_job

    async def torn(self: MemoryStore, step: JobStep) -> Job | None:
        job = self._jobs[step.job_id]
        if not job.is_held_by(step.token):
            return None
        await self.act([each.action for each in step.decisions])
        # Whoever is killed here has not moved on; what it sent may have died again by then.
        if step.decisions and random.Random(len(step.decisions) + job.token).random() < 0.5:
            return replace(job, lease_until_ms=step.lease_until_ms)
        return await honest(self, step)

    patch.setattr(MemoryStore, "advance_job", torn)


def nobody_is_fenced(patch: pytest.MonkeyPatch) -> None:
    """Whoever stood still is believed."""
    patch.setattr(Job, "is_held_by", lambda self, _token: self.state is JobState.RUNNING)


def nothing_bounds_it(patch: pytest.MonkeyPatch) -> None:
    """What dies while the job runs is the job's, too."""
    patch.setattr(Job, "takes", lambda _self, _delivery: True)
    patch.setattr(Job, "of_destination", lambda self, name: replace(self.wanted, destination=name))


def the_rate_is_made_up_for(patch: pytest.MonkeyPatch) -> None:
    """What was missed while nobody was there goes out in a heap."""
    patch.setattr(job_work.JobWork, "_first_slot_ms", lambda self, now_ms, _room: self._next_ms or now_ms)
    patch.setattr(job_work.JobWork, "_most", lambda _self: 10_000)


def _broken(plant: Plant, patch: pytest.MonkeyPatch, seed: int) -> bool:
    with patch.context() as planted:
        plant(planted)
        try:
            expect_right(simulate(MemoryStore, seed, 20.0), 120)
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize(
    "plant",
    [place_in_another_transaction, nobody_is_fenced, nothing_bounds_it, the_rate_is_made_up_for],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(_broken(plant, monkeypatch, seed) for seed in range(SEEDS["memory"]))
