"""A job over the real program, which is killed twice with `kill -9`: every one goes out, and the rate holds.

JOB_COUNT=100000 JOB_RATE=1000 is the long run. What came is reckoned by the destination's own notes.
"""

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from acceptance.harness import Reply, Site, environment, wait_until
from longstop.config import load_for_store
from longstop.model.delivery import DeadReason, State
from longstop.testing.builders import AT_MS, make_append
from longstop.wiring.stores import make_store

pytestmark = pytest.mark.any_store
COUNT = int(os.environ.get("JOB_COUNT", "3000"))
RATE = int(os.environ.get("JOB_RATE", "200"))
KILLS = 2
IN_FLIGHT_MAX = 32
"""The destination's concurrency: so many may be under way when the program is killed."""
WINDOW_S = 5.0
OVER_RATE_MAX = 1.2
"""Of a fifth of WINDOW_S a busy machine may make up for: what was released ahead goes out at once when it goes on, and
the destination notes at once what came meanwhile. A job that makes up for a kill makes up for more."""
CATCHES_UP = """
from longstop.operating.job_work import JobWork

# What was missed while nobody was there is made up for.
JobWork._first_slot_ms = lambda self, now_ms, room: self._next_ms or now_ms
JobWork._most = lambda self: 10_000
"""


@dataclass(frozen=True)
class Figures:
    """What a run came to."""

    job: dict[str, Any]
    came: int
    """Different events that the destination got."""
    repeats: int
    unexplained: tuple[str, ...]
    """Repeats without an attempt on record whose worker died."""
    over_rate: float
    """The most that came for the first time within WINDOW_S, in shares of what the rate allows."""
    out_of_order: int
    """Pairs of first arrivals next to each other that came the wrong way round by more than was under way at once."""
    took_s: float

    def __str__(self) -> str:
        return (
            f"{self.came} of {self.job['total']} came in {self.took_s:.0f} s, {self.repeats} repeats "
            f"({len(self.unexplained)} unexplained), at most {self.over_rate:.3f} of the rate within {WINDOW_S:g} s"
        )


async def _dead(site: Site, count: int) -> list[str]:
    """So many dead deliveries in the site's store; their events' ids, the oldest first."""
    store = make_store(load_for_store(site.config, environ=environment()).store)
    await store.open()
    try:
        made = [make_append(number, key=f"k{number}", received_at_ms=AT_MS + number) for number in range(1, count + 1)]
        for start in range(0, count, 1_000):
            await store.append([
                replace(each, deliveries=tuple(
                    replace(
                        delivery, state=State.DEAD, reason=DeadReason.REJECTED, attempts=1, tries=1, last_status=422,
                        last_error="HTTP 422", ended_at_ms=AT_MS + count + 1,
                    )
                    for delivery in each.deliveries
                ))
                for each in made[start : start + 1_000]
            ])  # fmt: skip
        return [each.event.id for each in made]
    finally:
        await store.close()


def run(site: Site, count: int, rate: int, kills: int, plant: str = "") -> Figures:
    """Replay so many dead ones at a rate, kill the gateway so often, let the job end, and reckon."""
    ids = asyncio.run(_dead(site, count))
    site.configure(lease="1s", attempts=1000, first="10ms", cap="100ms")
    site.destination.script = lambda _arrival: Reply(after_s=0.02)
    program = site.start("serve", "--log-level", "error", prelude=plant).ready()
    began_s = time.monotonic()
    job_id = site.ask("replay", "--all", "--rate", f"{rate}/s", "--why", "INC-7", "--no-wait").row["id"]
    for kill in range(kills):
        share = (kill + 1) * count // (kills + 1)
        wait_until(lambda share=share: len(site.destination.arrivals) >= share, "a part of it", 60 + 3 * count / rate)
        program.kill()
        program = site.start("serve", "--log-level", "error", prelude=plant).ready()
    limit_s = 120 + 5 * count / rate
    wait_until(lambda: site.ask("jobs", "show", job_id).row["state"] == "done", "the job's end", limit_s)
    wait_until(lambda: not _waiting(site), "what is under way", limit_s)
    took_s = time.monotonic() - began_s
    program.stop()
    return _reckon(site, site.ask("jobs", "show", job_id).row, ids, rate, took_s)


def _waiting(site: Site) -> int:
    return sum(each["scheduled"] + each["leased"] for each in site.ask("status").row["destinations"])


def _reckon(site: Site, job: dict[str, Any], ids: list[str], rate: int, took_s: float) -> Figures:
    arrivals = list(site.destination.arrivals)
    times = Counter(arrival.webhook_id for arrival in arrivals)
    first: dict[str, float] = {}
    for arrival in arrivals:
        first.setdefault(arrival.webhook_id, arrival.at_s)
    repeated = [id_ for id_, n in times.items() if n > 1]
    places = {id_: place for place, id_ in enumerate(ids)}
    came_in = [places[id_] for id_ in first]
    wrong = sum(place + IN_FLIGHT_MAX < highest for place, highest in zip(came_in, _highest(came_in), strict=True))
    return Figures(
        job,
        len(first),
        sum(times.values()) - len(times),
        tuple(id_ for id_ in repeated if not _is_explained(site, id_, times[id_])),
        _most_within(sorted(first.values()), WINDOW_S) / (rate * WINDOW_S),
        wrong,
        took_s,
    )


def _highest(places: list[int]) -> list[int]:
    """For each, the highest of those before it and itself."""
    highest, seen = [], 0
    for place in places:
        seen = max(seen, place)
        highest.append(seen)
    return highest


def _most_within(times_s: list[float], window_s: float) -> int:
    most = end = 0
    for begin, at_s in enumerate(times_s):
        while end < len(times_s) and times_s[end] < at_s + window_s:
            end += 1
        most = max(most, end - begin)
    return most


def _is_explained(site: Site, id_: str, times: int) -> bool:
    (history,) = site.event(id_)["history"]
    outcomes = [each["outcome"] for each in history["attempts"]]
    return outcomes[-1] == "success" and outcomes.count("lost") >= times - 1


def _told(capsys: pytest.CaptureFixture[str], figures: Figures) -> None:
    with capsys.disabled():
        print(f"\n{figures}")


@pytest.mark.timeout(300 + 10 * COUNT / RATE)
def test_a_job_that_is_killed_twice_sends_every_one(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, COUNT, RATE, KILLS)
    _told(capsys, figures)
    job = figures.job
    assert (job["state"], job["done"], job["failed"], job["skipped"]) == ("done", COUNT, 0, 0)
    assert (job["by"], job["why"], job["total"], job["rate"]) == ("tester", "INC-7", COUNT, RATE)
    assert figures.came == COUNT
    assert not figures.unexplained
    assert figures.repeats <= KILLS * IN_FLIGHT_MAX
    assert figures.out_of_order <= KILLS * IN_FLIGHT_MAX, "more than what was under way at a kill came late"
    assert figures.over_rate <= OVER_RATE_MAX


def test_a_rate_that_is_made_up_for_would_be_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, 1_000, 50, 1, plant=CATCHES_UP)
    _told(capsys, figures)
    assert figures.job["done"] == 1_000
    assert figures.over_rate > OVER_RATE_MAX
