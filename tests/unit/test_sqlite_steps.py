"""What the ledger is asked costs the same for a small store and for one four times as large, counted in SQLite's steps.

Steps of its virtual machine are the same on every machine. What reads all of a table, or all of one destination's rows,
takes four times as many here. The questions are those of bench/ledger.py, whose store is built here, too.
"""

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlite_steps import steps_counted

from longstop.model.lease import LeaseRequest
from longstop.stores.sqlite import SqliteStore

BENCH = Path(__file__).parents[2] / "bench" / "ledger.py"
SIZES = {"dead": 4_000, "delivered": 40_000, "scheduled": 4_000}
TIMES = 4
SLACK_STEPS = 400
"""A page that begins at another row may meet a few rows more that do not fit."""
SEARCHES = ("text that is not there", "number in an error", "destination, status, type")
"""What looks at much, until its patience is over: texts, and several conditions of which no index has all."""
AN_HOUR = "dead: since and until (an hour)"
"""An hour holds more of the larger store: the smaller one is not much longer."""


def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_backlog", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def lease(store: SqliteStore, room: int) -> int:
    batch = await store.lease(LeaseRequest("w", {"destination-1": room}, 2_000_000_000_000, 2_000_000_060_000))
    return len(batch.claims)


async def costs(path: Path, times: int) -> dict[str, int]:
    """The steps of each question, for a store of so many times the size."""
    made = bench()
    sizes = {name: size * times for name, size in SIZES.items()}
    await made.build(path, **sizes)
    found: dict[str, int] = {}
    with steps_counted() as taken:
        store = SqliteStore(path, watch_s=None)
        await store.open()
        try:
            questions = [*made.questions(store, sum(sizes.values())), ("lease", lambda: lease(store, 5))]
            for said, ask in questions:
                before = taken()
                await ask()
                found[said] = taken() - before
        finally:
            await store.close()
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, int]]:
    folder = tmp_path_factory.mktemp("steps")
    return asyncio.run(costs(folder / "small.db", 1)), asyncio.run(costs(folder / "large.db", TIMES))


def test_no_question_costs_more_for_a_larger_store(both: tuple[dict[str, int], dict[str, int]]) -> None:
    small, large = both
    assert len(small) > 50
    assert all(steps > 0 for steps in small.values()), "the steps are counted"
    grown = {
        said: (small[said], steps)
        for said, steps in large.items()
        if steps > 1.5 * small[said] + SLACK_STEPS and said != AN_HOUR and not any(each in said for each in SEARCHES)
    }
    assert grown == {}


def test_a_search_does_which_shows_that_the_count_can_tell(both: tuple[dict[str, int], dict[str, int]]) -> None:
    small, large = both
    said = next(each for each in small if "text that is not there" in each)
    assert large[said] > 2 * small[said]
