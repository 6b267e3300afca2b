"""Racers for one dedup key over two stores on one file, where transactions that took the key roll back.

Each round hands the same keys to both stores at once, in batches as group commit makes them; by chance one or both
transactions fail after everything was written and before the commit. Whoever failed sends again, as a sender does
after a 503. In the end each key is one event, and nobody was told "duplicate" of an event that is not there.
"""

import asyncio
import contextlib
import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from longstop.model.append import Append
from longstop.model.dedup import dedup_digest
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Event, Headers, Receipt, ReceiptStatus
from longstop.model.ids import IdFactory
from longstop.model.listing import EventFilter, Page
from longstop.stores.sqlite import SqliteStore, append_rows

RACES = int(os.environ.get("RACES", "10000"))
SEED = int(os.environ.get("SEED", "20261122"))
KEYS_A_ROUND = 50
WINDOW_MS = 10**12


class Rollback(Exception):
    """What a transaction is made to fail with."""


class Failing:
    """The store's statements, of which chosen batches fail once everything is written."""

    def __init__(self) -> None:
        self._append = append_rows.append
        self.doomed: set[str] = set()
        """Ids of events whose batch fails."""
        self.rolled_back = 0
        self._lock = threading.Lock()

    def append(self, connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
        with self._lock:
            doomed = self.doomed.intersection(item.event.id for item in appends)
            self.doomed -= doomed
            self.rolled_back += bool(doomed)
        # A commit that is forbidden when all is written becomes a rollback. Before it the rows go into memory.
        commits = itertools.count()
        connection.set_commit_hook((lambda: next(commits) == 1) if doomed else None)
        return self._append(connection, appends)

    def append_keys_apart(self, connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
        """The planted bug: the keys are committed before the events."""
        connection.set_commit_hook(None)
        for item in appends:
            assert item.event.dedup is not None
            key = (dedup_digest(item.event.source, item.event.dedup), 1, WINDOW_MS, item.event.id)
            connection.execute("INSERT INTO dedup VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", key)
        return self.append(connection, appends)


class Race:
    """Two stores on one file, and every receipt that a racer got."""

    def __init__(self, path: Path, failing: Failing, seed: int) -> None:
        self.stores = [SqliteStore(path, watch_s=None) for _ in range(2)]
        self.failing = failing
        self.rng = random.Random(seed)
        self.ids = IdFactory(self.rng)
        self.receipts: dict[bytes, list[Receipt]] = {}

    def _event(self, key: bytes) -> Append:
        event = Event(self.ids.make(1), "shop", 1, key, Headers(), dedup=key)
        return Append(event, (), WINDOW_MS)

    async def round(self, keys: list[bytes]) -> None:
        """Every key, by both stores at once; what fails goes again until it is answered."""
        batches = []
        for store in self.stores:
            mixed = self.rng.sample(keys, len(keys))
            batch = [self._event(key) for key in mixed]
            if self.rng.random() < 0.5:
                self.failing.doomed.add(self.rng.choice(batch).event.id)
            batches.append((store, batch))
        await asyncio.gather(*(self._append(store, batch) for store, batch in batches))

    async def _append(self, store: SqliteStore, batch: list[Append]) -> None:
        while True:
            with contextlib.suppress(StoreUnavailableError):
                receipts = await store.append(batch)
                break
            batch = [self._event(item.event.dedup or b"") for item in batch]
        for item, receipt in zip(batch, receipts, strict=True):
            self.receipts.setdefault(item.event.dedup or b"", []).append(receipt)

    async def faults(self) -> list[str]:
        """Everything that is wrong in the end."""
        listing = await self.stores[0].find_events(EventFilter(), Page(10**9))
        kept = {row.event.id: row for row in listing.rows}
        times = Counter(row.event.dedup for row in kept.values())
        wrong = [f"{key!r}: {number} events" for key, number in times.items() if number != 1]
        for key, receipts in self.receipts.items():
            ids = {receipt.event_id for receipt in receipts}
            accepted = sum(receipt.status is ReceiptStatus.ACCEPTED for receipt in receipts)
            if len(ids) != 1 or accepted != 1 or not ids <= kept.keys():
                wrong.append(f"{key!r}: told {receipts}, kept {sorted(ids & kept.keys())}")
            elif kept[ids.pop()].redeliveries != len(receipts) - 1:
                wrong.append(f"{key!r}: miscounted")
        return wrong


async def raced(path: Path, failing: Failing, races: int) -> list[str]:
    race = Race(path, failing, SEED)
    for store in race.stores:
        await store.open()
    try:
        for start in range(0, races, KEYS_A_ROUND):
            await race.round([b"key-%d" % number for number in range(start, start + KEYS_A_ROUND)])
        return await race.faults()
    finally:
        for store in race.stores:
            await store.close()


@pytest.mark.timeout(60 + RACES // 50)
def test_one_event_for_each_key_whoever_rolls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = Failing()
    monkeypatch.setattr(append_rows, "append", failing.append)
    wrong = asyncio.run(raced(tmp_path / "race.db", failing, RACES))
    with capsys.disabled():
        print(f"\n{RACES} races, {failing.rolled_back} transactions rolled back, {len(wrong)} wrong")
    assert wrong == []
    assert failing.rolled_back > RACES // KEYS_A_ROUND / 2, "too few rolled back to say anything"


def test_the_harness_finds_a_key_that_is_taken_outside_the_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing()
    monkeypatch.setattr(append_rows, "append", failing.append_keys_apart)
    wrong: Any = asyncio.run(raced(tmp_path / "race.db", failing, 500))
    assert wrong
