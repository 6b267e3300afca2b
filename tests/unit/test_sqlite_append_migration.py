"""A file from before appends wrote less: its segments end where they ended, and every delivery has its event still."""

import uuid
from pathlib import Path

import apsw
import pytest

from longstop.model.ids import format_uuid7
from longstop.model.listing import EventFilter, Page
from longstop.stores.sqlite import SqliteStore, event_deliveries, key_places, schema
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append

BEFORE = next(place for place, script in enumerate(schema.MIGRATIONS) if event_deliveries.MIGRATION in script)
STARTS = {0: -1, 1: AT_MS + 3, 2: AT_MS + 6}
"""Events 0 to 2 are in the first segment, 3 to 5 in the second, 6 to 8 in the third."""
LATER = (9, 10)


def far_id(of_event: str, position: int) -> str:
    return str(uuid.UUID(int=uuid.UUID(of_event).int + (1 << 50) + position))


def an_old_file(path: Path) -> None:
    """Nine events of one key with two deliveries each: one next to it, one far away."""
    connection = apsw.Connection(str(path))
    schema.prepare(connection, str(path), schema.MIGRATIONS[:BEFORE])
    connection.execute("DELETE FROM key_segments")
    connection.executemany("INSERT INTO key_segments VALUES (?, ?, 3)", list(STARTS.items()))
    connection.execute("UPDATE marks SET newest_ms = ?", (AT_MS + 8,))
    for number in range(9):
        place = number // 3 << 32 | key_places.key_hash("a")
        connection.execute(
            "INSERT INTO events (id, source, received_at_ms, key, origin, routed, headers, body, key_place) "
            "VALUES (?, 'shop', ?, 'a', 'webhook', 2, x'90', x'7b7d', ?)",
            (event_id(number), AT_MS, place),
        )
        for id_ in (delivery_id(event_id(number), 0), far_id(event_id(number), 1)):
            connection.execute(
                "INSERT INTO deliveries (id, event_id, source, key, received_at_ms, destination, state, due_at_ms, "
                "round, round_at_ms, attempts, tries, lost, token) "
                "VALUES (?, ?, 'shop', 'a', ?, 'crm', 'scheduled', 0, 1, 0, 0, 0, 0, 0)",
                (id_, event_id(number), AT_MS),
            )
    connection.close()


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("patience_ms", [0, 5_000])
async def test_a_key_is_listed_in_order_across_old_segments_and_new_ones(
    newest_first: bool, patience_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longstop.stores.sqlite.find_events.SEGMENTS_FIRST", 1)
    an_old_file(tmp_path / "store.db")
    store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
    await store.open()
    for number in LATER:
        await store.append([make_append(number, key="a")])
    found: list[str] = []
    after: str | None = None
    for _ in range(40):
        page = Page(2, after, newest_first, patience_ms=patience_ms)
        listing = await store.find_events(EventFilter(key="a"), page)
        found += [row.event.id for row in listing.rows]
        after = listing.next_after
        if after is None:
            break
    assert found == sorted(map(event_id, range(11)), reverse=newest_first)
    await store.close()


async def test_old_deliveries_are_their_events(tmp_path: Path) -> None:
    an_old_file(tmp_path / "store.db")
    store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
    await store.open()
    for number in range(9):
        kept = await store.event(event_id(number))
        assert kept is not None
        ids = [each.id for each in kept.deliveries]
        assert ids == [delivery_id(event_id(number), 0), far_id(event_id(number), 1)]
    await store.close()


def test_old_segments_end_where_they_ended(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    an_old_file(path)
    connection = apsw.Connection(str(path))
    schema.prepare(connection, str(path))
    last = (1 << 74) - 1
    ends = [format_uuid7(start_ms - 1, last) if seq else "" for seq, start_ms in STARTS.items()]
    assert connection.execute("SELECT start FROM key_segments ORDER BY seq").fetchall() == [(end,) for end in ends]
    indexes = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert "deliveries_far" in indexes
    assert "deliveries_event" not in indexes
    connection.close()
