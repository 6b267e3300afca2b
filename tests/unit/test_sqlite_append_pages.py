"""What an append writes, counted in pages of the log, and that what is found without an index is still looked up.

Pages are the same on every machine. Each index of events or of what is scheduled costs every append a few.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from sqlite_steps import steps_counted

from longstop.model.append import Append
from longstop.model.ids import IdFactory
from longstop.model.retention import Cutoffs
from longstop.stores.sqlite import (
    append_rows,
    connection,
    find_deliveries,
    key_places,
    ledger,
    retention,
    schema,
    whole_events,
)
from longstop.testing.builders import AT_MS, make_delivery, make_event

EVENTS, PER_MS = 64, 10
BATCHES_BEFORE, BATCHES = 40, 20
PAGES_MAX = 56
"""A batch."""
SELDOM = {"marks", "key_segments", "deliveries_far"}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[apsw.Connection]:
    made = connection.connect(str(tmp_path / "store.db"))
    schema.prepare(made, str(tmp_path / "store.db"))
    made.execute(append_rows.SETUP)
    made.execute(retention.SETUP)
    made.execute("PRAGMA synchronous = OFF")
    made.execute("PRAGMA wal_autocheckpoint = 0")
    yield made
    made.close()


def batches() -> Iterator[list[Append]]:
    """Events of one source as a gateway has them, for ever."""
    rng = random.Random(7)
    ids = IdFactory(rng)
    number = 0
    while True:
        batch = []
        for number in range(number, number + EVENTS):  # noqa: B020
            now_ms = AT_MS + number // PER_MS
            event = make_event(1, id=ids.make(now_ms), received_at_ms=now_ms, body=rng.randbytes(1_100))
            event = replace(event, key=f"{rng.getrandbits(64):016x}", dedup=b"%d" % (AT_MS + number))
            batch.append(Append(event, (make_delivery(event, id=ids.make(now_ms)),), now_ms + 86_400_000))
        number += 1
        yield batch


def pages_in_log(opened: apsw.Connection, path: Path) -> Counter[str]:
    """How many pages of each table and index are in the log."""
    of_page = {page: name for name, page in opened.execute("SELECT name, pageno FROM dbstat")}
    log = path.with_name(path.name + "-wal").read_bytes()
    frame = 24 + connection.PAGE_BYTES
    numbers = (struct.unpack_from(">I", log, start)[0] for start in range(32, len(log) - frame + 1, frame))
    return Counter(of_page.get(number, "other") for number in numbers)


def test_an_append_writes_few_pages(opened: apsw.Connection, tmp_path: Path) -> None:
    coming = batches()
    for _ in range(BATCHES_BEFORE):
        append_rows.append(opened, next(coming))
    opened.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for _ in range(BATCHES):
        append_rows.append(opened, next(coming))
    pages = pages_in_log(opened, tmp_path / "store.db")
    assert pages["counters"] == BATCHES, "each batch writes its page of counters: the log is read rightly"
    seldom = {name: pages[name] for name in SELDOM if pages[name] > BATCHES / 4}
    assert seldom == {}, f"written by every batch or so: {pages}"
    assert pages.total() < PAGES_MAX * BATCHES, f"pages a batch: {pages.total() / BATCHES}; {pages}"


def test_a_segment_of_keys_ends_after_so_many_events(opened: apsw.Connection) -> None:
    coming = batches()
    full = key_places.SEGMENT_EVENTS // EVENTS
    for _ in range(2 * full + 2):
        append_rows.append(opened, next(coming))
    sizes = opened.execute("SELECT key_place >> 32, count(*) FROM events GROUP BY 1 ORDER BY 1").fetchall()
    assert len(sizes) == 3
    # A segment ends with a batch, and with the millisecond that the batch ends in.
    assert all(abs(size - key_places.SEGMENT_EVENTS) <= EVENTS + PER_MS for _, size in sizes[:2]), sizes
    disorder = """
        SELECT count(*) FROM (
            SELECT key_place >> 32 AS seq, lag(key_place >> 32) OVER (ORDER BY id) AS before FROM events)
        WHERE seq < before
    """
    assert opened.execute(disorder).get == 0


LOOK_UPS = [
    (ledger._OF_EVENT, 1),
    (retention._WHICH, 5),
    (retention._OLD_ATTEMPTS, 2),
    (retention._FORGET_ATTEMPTS, 2),
    (whole_events._ATTEMPTS, 1),
    (whole_events._DELIVERIES, 1),
    (f"SELECT id FROM deliveries WHERE {find_deliveries._OF_EVENTS}", 2),
]


@pytest.mark.parametrize(("query", "values"), LOOK_UPS)
def test_an_events_deliveries_are_looked_up(query: str, values: int, opened: apsw.Connection) -> None:
    steps = [str(row[3]) for row in opened.execute(f"EXPLAIN QUERY PLAN {query}", ("[]",) * values)]
    assert any("(id>? AND id<?)" in step for step in steps), steps
    assert any("deliveries_far (event_id=?)" in step for step in steps), steps
    assert not any(step.split()[:2] in (["SCAN", "d"], ["SCAN", "deliveries"]) for step in steps), steps


def steps_of_forgetting(folder: Path, stored: int) -> int:
    """The steps in which one of so many batches is forgotten."""
    with steps_counted() as taken:
        made = connection.connect(str(folder / f"{stored}.db"))
        schema.prepare(made, "it")
        made.execute(append_rows.SETUP)
        made.execute(retention.SETUP)
        coming = batches()
        for _ in range(stored):
            batch = next(coming)
            append_rows.append(made, batch)
        made.execute("UPDATE deliveries SET state = 'delivered', ended_at_ms = received_at_ms")
        before = taken()
        going = [item.event.id for item in batch]
        assert retention.forget(made, going, Cutoffs(*[AT_MS * 2] * 4)) == EVENTS
        made.close()
        return taken() - before


def test_forgetting_costs_the_same_in_a_larger_store(tmp_path: Path) -> None:
    small, large = (steps_of_forgetting(tmp_path, stored) for stored in (3, 24))
    assert 0 < large < 1.2 * small
