"""Bugs that the simulation has to find: with each planted, one of its first worlds breaks a promise."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from test_delivery import _quiet, check, live

from longstop.delivering import attempt
from longstop.delivering.rescue import Rescue
from longstop.model.delivery import Outcome, OutcomeKind, Transition, Trigger
from longstop.stores.sqlite import SqliteStore, append_rows, circuits, inbox
from longstop.stores.sqlite.rows import Row, columns
from longstop.testing.clock import run

__all__ = ["_quiet"]

Plant = Callable[[pytest.MonkeyPatch], None]
WORLDS = 40


def stale_tokens_are_taken(patch: pytest.MonkeyPatch) -> None:
    """No fencing: whoever settles is believed, as long as somebody has the lease.

    By itself the token would not be missed: of two records of one attempt the table refuses the second. So that is
    taken away, too.
    """
    patch.setattr(inbox, "_HELD", "SELECT lane FROM deliveries WHERE id = ? AND state = 'leased' AND ? IS NOT NULL")

    def replace_rows(connection: apsw.Connection, table: str, names: list[str], rows: list[Row]) -> None:
        places = ", ".join("?" * len(names))
        connection.executemany(f"INSERT OR REPLACE INTO {table} ({columns(names)}) VALUES ({places})", rows)

    patch.setattr(inbox, "insert_rows", replace_rows)


def nobody_is_held(patch: pytest.MonkeyPatch) -> None:
    """Every delivery of an ordered destination goes out at once."""
    patch.setattr(append_rows, "SETUP", append_rows.SETUP.replace("AND EXISTS", "AND 0 AND EXISTS"))


def open_circuits_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    """What is due is leased, whatever is known of its destination."""
    patch.setattr(inbox, "circuits", SimpleNamespace(circuits=lambda _: [], put=circuits.put, change=circuits.change))


def nothing_is_rescued(patch: pytest.MonkeyPatch) -> None:
    """What a dead worker had leased stays with it."""

    async def rescue(_self: Rescue) -> int:
        return 0

    patch.setattr(Rescue, "rescue", rescue)


def no_news_is_good_news(patch: pytest.MonkeyPatch) -> None:
    """A lost lease is taken for a success."""
    real = attempt.decide

    def decide(delivery: Any, outcome: Outcome, policy: Any, now_ms: int, rng: Any, probe: bool) -> Transition:
        if outcome.kind is OutcomeKind.LOST:
            return Transition(Trigger.SUCCEED, now_ms)
        return real(delivery, outcome, policy, now_ms, rng, probe)

    patch.setattr(attempt, "decide", decide)


PLANTS: dict[Plant, str] = {
    stale_tokens_are_taken: "assert",
    nobody_is_held: "two of one key were under way at once",
    open_circuits_are_not_seen: "sent although the circuit was open",
    nothing_is_rescued: "these still wait for nothing",
    no_news_is_good_news: "assert <OutcomeKind.LOST",
}
"""Each bug, and what is said of it."""


def first_worlds(folder: Path) -> None:
    """Live through them, until one breaks a promise."""

    async def world(seed: int) -> None:
        store = SqliteStore(folder / f"{seed}.db", watch_s=None, threaded=False)
        await store.open()
        try:
            await check(store, await live(store, seed))
        finally:
            await store.close()

    for seed in range(WORLDS):
        run(world(seed))


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=PLANTS[plant]):
        first_worlds(tmp_path)
