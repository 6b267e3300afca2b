"""Replays and discards by filter are jobs: made, followed, left alone, stopped, gone on with."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram, StandingClock, make_dead

from longstop.edges.cli import job_run
from longstop.edges.rows.jobs import eta_s, filter_row, job_row
from longstop.model.action import Pause
from longstop.model.delivery import DeadReason, State
from longstop.model.ids import IdFactory
from longstop.model.job import Job, JobAction, JobState
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.node import Node
from longstop.model.routing import Router
from longstop.operating.job_runner import JobRunner
from longstop.operating.jobs import JobService
from longstop.operating.replay import Replay
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_quarantined

Capture = pytest.CaptureFixture[str]
Row = dict[str, Any]
NODE = Node("host:1", ("work",), "0.1.0", AT_MS, NOW_MS)


@dataclass
class MovingClock(StandingClock):
    """While somebody sleeps, other things happen."""

    meanwhile: Callable[[], Awaitable[None]] | None = None
    slept_s: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        assert len(self.slept_s) < 1_000, "it waits for ever"
        self.slept_s.append(seconds)
        if self.meanwhile is not None:
            await self.meanwhile()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram(clock=MovingClock())
    made.keep(make_dead(1), make_dead(2, destination="ledger"), make_dead(3))
    return made


def gateway(program: FakeProgram, does: Callable[[Job], Awaitable[Any]] | None = None) -> None:
    """Let one run beside the commands; `does` None: it carries out what there is, all at once."""
    asyncio.run(program.store.beat(NODE))
    runner = JobRunner(
        program.store,
        program.clock,
        lambda by: Replay(program.store, {}, Router([]), program.clock, IdFactory(random.Random(9)), by),
        "host:1",
        delivers=False,
    )

    async def work() -> None:
        for job in (await program.store.find_jobs(JobState.RUNNING, Page())).rows:
            if does is not None:
                await does(job)
            else:
                await runner.carry_out(job.id, lambda _: None)

    assert isinstance(program.clock, MovingClock)
    program.clock.meanwhile = work


def people(program: FakeProgram) -> JobService:
    return JobService(program.store, program.clock, IdFactory(random.Random(8)), "bob")


def jobs(program: FakeProgram) -> list[Job]:
    return list(asyncio.run(_jobs(program)))


async def _jobs(program: FakeProgram) -> tuple[Job, ...]:
    return (await program.store.find_jobs(None, Page())).rows


def states(program: FakeProgram) -> list[State]:
    return [program.delivery(delivery_id(event_id(number), 0)).state for number in (1, 2, 3)]


def rows(capsys: Capture) -> list[Row]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


DEAD, SCHEDULED, DISCARDED = State.DEAD, State.SCHEDULED, State.DISCARDED


def test_a_replay_by_filter_is_a_job_with_who_and_why(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", "--all", "--why", "INC-7") == 0
    assert capsys.readouterr().out == "3 replayed\n"
    (job,) = jobs(program)
    assert (job.state, job.by, job.why, job.done, job.total) == (JobState.DONE, "ann", "INC-7", 3, 3)
    assert states(program) == [SCHEDULED] * 3


def test_of_nothing_no_job_is_made(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("discard", "--key", "nobody", "--why", "x") == 0
    assert "Nothing matches that could be discarded; nothing was changed." in capsys.readouterr().err
    assert jobs(program) == []


def test_a_gateway_carries_it_out_while_the_command_looks_on(program: FakeProgram, capsys: Capture) -> None:
    gateway(program)
    assert program.cli("replay", "--all", "--rate", "20/s", "--json") == 0
    (row,) = rows(capsys)
    assert (row["state"], row["done"], row["rate"], row["by"]) == ("done", 3, 20.0, "ann")
    assert (row["filter"], row["paused_by"], row["errors"]) == ({"state": "dead"}, None, [])


def test_without_a_gateway_a_rate_is_left_to_one(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", "--all", "--rate", "60/m") == 0
    shown = capsys.readouterr()
    (job,) = jobs(program)
    assert shown.out == f"Job {job.id[-8:]}: 3 to be replayed\n"
    assert "A gateway that delivers goes on with it; `longstop jobs show" in shown.err
    assert (job.state, states(program)) == (JobState.RUNNING, [DEAD] * 3)


def test_whoever_does_not_wait_is_told_its_id(program: FakeProgram, capsys: Capture) -> None:
    gateway(program)
    assert program.cli("replay", "--all", "--no-wait", "--json") == 0
    (row,) = rows(capsys)
    assert (row["id"], row["state"], states(program)) == (jobs(program)[0].id, "running", [DEAD] * 3)
    assert program.cli("discard", "--destination", "crm", "--why", "x", "--no-wait") == 0
    shown = capsys.readouterr()
    assert ": 2 to be discarded\n" in shown.out
    assert "A gateway carries it out; " in shown.err


def test_what_it_waits_for_is_said_once(program: FakeProgram, capsys: Capture) -> None:
    asyncio.run(program.store.pause(Pause("crm", AT_MS, "bob")))
    turns = 0

    async def slow(job: Job) -> None:
        nonlocal turns
        turns += 1
        kept = program.store._jobs  # type: ignore[attr-defined]
        kept[job.id] = replace(job, full=("crm",), done=1, state=JobState.DONE if turns == 5 else JobState.RUNNING)

    gateway(program, slow)
    assert program.cli("replay", "--all") == 0
    assert capsys.readouterr().err.count("waits for crm (paused)") == 1


@pytest.mark.parametrize("stop", ["pause", "cancel"])
def test_somebody_stops_it(stop: str, program: FakeProgram, capsys: Capture) -> None:
    async def stops(job: Job) -> None:
        await getattr(people(program), stop)(job.id, "enough")

    gateway(program, stops)
    assert program.cli("replay", "--all") == 1
    shown = capsys.readouterr()
    assert shown.out == "0 replayed\n"
    assert f"is {stop}{'d' if stop == 'pause' else 'led'} by bob: enough" in shown.err


def test_a_gateway_that_is_killed_leaves_it_to_the_command(program: FakeProgram, capsys: Capture) -> None:
    async def dies(_job: Job) -> None:
        await program.store.leave(NODE.name)

    gateway(program, dies)
    assert program.cli("replay", "--all") == 0
    assert capsys.readouterr().out == "3 replayed\n"
    gateway(program, dies)
    program.keep(make_dead(4))
    assert program.cli("replay", "--all", "--rate", "1/h") == 1
    assert "No gateway delivers any more. Job" in capsys.readouterr().err


def test_interrupted_it_stays_in_the_store(program: FakeProgram, capsys: Capture) -> None:
    async def interrupts(_job: Job) -> None:
        raise KeyboardInterrupt

    gateway(program, interrupts)
    assert program.cli("replay", "--all") == 130
    assert "stays as it is in the store" in capsys.readouterr().err
    assert jobs(program)[0].state is JobState.RUNNING


def test_interrupted_before_it_knows_who_carries_it_out_it_stays_there_too(
    program: FakeProgram, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupts(_desk: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(job_run, "_delivering", interrupts)
    assert program.cli("replay", "--all", "--rate", "20/s") == 130
    assert "stays as it is in the store" in capsys.readouterr().err
    assert jobs(program)[0].state is JobState.RUNNING


def test_what_could_not_be_done_is_said(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_quarantined(6))
    assert program.cli("replay", "--all") == 1
    shown = capsys.readouterr()
    assert shown.out == "3 replayed, 1 could not be\n"
    assert f"{make_quarantined(6).deliveries[0].id}: event {event_id(6)}" in shown.err


def test_listing_and_showing(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("jobs", "list") == 0
    assert capsys.readouterr().err == "No job matches.\n"
    program.cli("replay", "--destination", "crm", "--rate", "2/s", "--why", "INC-7")
    program.cli("discard", "--destination", "ledger", "--why", "x")
    capsys.readouterr()
    assert program.cli("jobs", "list") == 0
    # Made in one millisecond, they may stand in either order.
    done, running = sorted((line.split("\t") for line in capsys.readouterr().out.splitlines()), key=lambda row: row[2])
    assert done[2:6] == ["done", "discard", "1", "1"]
    assert running[2:] == [
        *("running", "replay", "0", "2", "0", "2/s", "ann"),
        *("state=dead destination=crm", "INC-7"),
    ]
    assert program.cli("jobs", "list", "--state", "running", "--json") == 0
    (row,) = rows(capsys)
    assert (row["id"], row["eta_s"]) == (running[0], 1.0)
    assert program.cli("jobs", "show", running[0][-8:]) == 0
    shown = capsys.readouterr().out
    for said in ("so far     0 of 2 replayed\n", "done in    1 s\n", "rate       2 a second\n", "by ann\n", "INC-7"):
        assert said in shown
    assert program.cli("jobs", "show", running[0], "--json") == 0
    assert rows(capsys) == [row]


def test_pause_resume_and_cancel(program: FakeProgram, capsys: Capture) -> None:
    program.cli("replay", "--all", "--no-wait")
    (job,) = jobs(program)
    end = job.id[-8:]
    capsys.readouterr()
    assert program.cli("jobs", "pause", end, "--why", "lunch") == 0
    assert capsys.readouterr().out == f"Job {end} is paused; 0 of 3 replayed\n"
    assert program.cli("jobs", "show", end, "--json") == 0
    (row,) = rows(capsys)
    assert (row["state"], row["paused_by"], row["state_why"]) == ("paused", "ann", "lunch")
    assert program.cli("jobs", "pause", end) == 1
    assert "is paused; only what runs can be paused" in capsys.readouterr().err
    gateway(program)
    assert program.cli("jobs", "resume", end) == 0
    assert capsys.readouterr().out == f"Job {end} is running; 0 of 3 replayed\n"
    assert program.cli("jobs", "cancel", end, "--json") == 0
    assert rows(capsys)[0]["state"] == "cancelled"
    assert states(program) == [DEAD] * 3


def test_without_a_gateway_resume_carries_it_out(program: FakeProgram, capsys: Capture) -> None:
    program.cli("replay", "--all", "--no-wait")
    (job,) = jobs(program)
    capsys.readouterr()
    assert program.cli("jobs", "resume", job.id) == 0
    assert capsys.readouterr().out == "3 replayed\n"
    assert states(program) == [SCHEDULED] * 3


def test_an_id_that_is_none_or_may_be_several(program: FakeProgram, capsys: Capture) -> None:
    for _ in range(2):
        program.cli("replay", "--all", "--no-wait")
    capsys.readouterr()
    assert program.cli("jobs", "show", "zzzz") == 1
    assert 'found no job "zzzz"; `longstop jobs list` shows them' in capsys.readouterr().err
    assert program.cli("jobs", "cancel", jobs(program)[0].id[:8]) == 1
    assert "may be any of" in capsys.readouterr().err


# -- rows ---------------------------------------------------------------------------------------------


def a_job(**changes: Any) -> Job:
    wanted = DeliveryFilter(state=State.DEAD)
    return replace(Job("j", JobAction.REPLAY, wanted, "ada", AT_MS, "d", total=100), **changes)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"rate_per_s": 2.0, "done": 20}, 40.0),
        ({}, None),
        ({"started_at_ms": AT_MS}, None),
        ({"started_at_ms": AT_MS, "done": 20, "skipped": 5}, 30.0),
        ({"started_at_ms": AT_MS, "done": 120}, None),
        ({"state": JobState.PAUSED, "rate_per_s": 2.0}, None),
    ],
)
def test_when_it_may_be_done(changes: dict[str, Any], seconds: float | None) -> None:
    assert eta_s(a_job(**changes), AT_MS + 10_000) == seconds


def test_a_filter_is_named_as_a_person_asked() -> None:
    wanted = DeliveryFilter(
        state=State.SCHEDULED, held=True, destination="", reason=DeadReason.REJECTED, status=422, error="no",
        source="shop", type="t", key="k", received_since_ms=AT_MS, received_until_ms=AT_MS + 1, contains=b"\xff",
    )  # fmt: skip
    assert filter_row(wanted) == {
        "state": "held", "reason": "rejected", "status": 422, "error": "no", "source": "shop",
        "destination": "quarantine", "type": "t", "key": "k", "since": "2026-01-01T00:00:00.000Z",
        "until": "2026-01-01T00:00:00.001Z", "contains": "base64:/w==",
    }  # fmt: skip
    assert job_row(a_job(full=("", "crm")), AT_MS)["waits_for"] == ["quarantine", "crm"]
