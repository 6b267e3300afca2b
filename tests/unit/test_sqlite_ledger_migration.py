"""A file from before there were counters, groups and places: all of it is counted, grouped and found afterwards.

And a backup of it, whose guards are looked at from within.
"""

from pathlib import Path

import apsw
import pytest

from longstop.model.delivery import State
from longstop.model.errors import BackupError
from longstop.model.listing import DeliveryFilter, EventFilter, Page, TimeSteps
from longstop.stores.sqlite import SqliteStore, backup, ledger_schema, schema
from longstop.testing.builders import AT_MS, event_id, make_append, make_event

BEFORE = schema.MIGRATIONS.index(ledger_schema.MIGRATION)
ERROR = "order {} is unknown"


def an_old_file(path: Path) -> None:
    """Seven events of two keys; 1 to 3 dead, 4 delivered before it came, 5 scheduled, 6 unrouted, 7 from elsewhere."""
    connection = apsw.Connection(str(path))
    schema.prepare(connection, str(path), schema.MIGRATIONS[:BEFORE])
    for number in range(1, 8):
        event = make_event(number, source="till" if number == 7 else "shop", key="a" if number % 2 else "b")
        connection.execute(
            "INSERT INTO events (id, source, received_at_ms, type, key, origin, routed, headers, body) "
            "VALUES (?, ?, ?, 't', ?, 'webhook', ?, x'90', x'7b7d')",
            (event.id, event.source, AT_MS + number * 7, event.key, number != 6),
        )
        if number == 6:
            continue
        state = "dead" if number < 4 else "delivered" if number == 4 else "scheduled"
        connection.execute(
            "INSERT INTO deliveries (id, event_id, source, type, key, received_at_ms, destination, state, due_at_ms, "
            "round, round_at_ms, attempts, tries, lost, token, reason, last_status, last_error, ended_at_ms) "
            "VALUES (?, ?, ?, 't', ?, ?, 'crm', ?, 0, 1, 0, 1, 1, 0, 1, ?, ?, ?, ?)",
            (
                *(event.id[:-1] + "f", event.id, event.source, event.key, AT_MS + number * 7, state),
                *(("rejected", 404, ERROR.format(number)) if state == "dead" else (None, None, None)),
                None if state == "scheduled" else AT_MS - 1_000 if number == 4 else AT_MS + 100 + number,
            ),
        )
    connection.close()


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, watch_s=None, threaded=False)
    await store.open()
    return store


async def test_what_an_old_file_holds_is_counted_grouped_and_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    an_old_file(path)
    store = await opened(path)
    counts = await store.counts()
    assert (counts.events, counts.unrouted, dict(counts.sources)) == (7, 1, {"shop": 6, "till": 1})
    assert counts.deliveries == {"crm": {State.DEAD: 3, State.DELIVERED: 1, State.SCHEDULED: 2}}
    (group,) = await store.dead_groups(None, 100, TimeSteps.last_day(AT_MS))
    assert (group.error, group.status, group.count, group.keys) == ("order # is unknown", 404, 3, 2)
    assert sum(group.over_time) == 3
    await store.append([make_append(n, key="a") for n in (8, 9)])
    rows = (await store.find_events(EventFilter(key="a"), Page())).rows
    assert [row.event.id for row in rows] == [event_id(n) for n in (9, 8, 7, 5, 3, 1)]
    for wanted, numbers in (
        (DeliveryFilter(state=State.DEAD, error="4711"), []),
        (DeliveryFilter(state=State.DEAD, error="order 2"), [2]),
        (DeliveryFilter(until_ms=AT_MS - 500), [4]),
        (DeliveryFilter(received_since_ms=AT_MS + 49), [7]),
        (DeliveryFilter(received_until_ms=AT_MS + 15), [8, 9, 1, 2]),
        (DeliveryFilter(key="b", state=State.DELIVERED), [4]),
    ):
        found = (await store.find_deliveries(wanted, Page(newest_first=False))).rows
        assert sorted(row.event_id for row in found) == sorted(event_id(n) for n in numbers), wanted
    after, drifts = None, []
    while True:
        step = await store.recount(after)
        drifts += step.drifts
        after = step.next_after
        if after is None:
            break
    assert drifts == []
    await store.close()


async def test_a_backup_does_not_take_the_place_of_a_file_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path / "store.db")
    target = tmp_path / "copy.db"
    monkeypatch.setattr(backup, "_check", lambda _copy: target.write_text("mine"))
    with pytest.raises(BackupError, match="exists and is left as it is"):
        await store.backup(target)
    assert target.read_text() == "mine"
    assert sorted(each.name for each in tmp_path.glob("*part*")) == []
    await store.close()


async def test_a_file_that_is_there_is_refused_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path / "store.db")
    target = tmp_path / "copy.db"
    target.symlink_to("nowhere")
    monkeypatch.setattr(backup, "_copy", lambda *_: pytest.fail("copied in vain"))
    with pytest.raises(BackupError, match="exists and is left as it is"):
        await store.backup(target)
    await store.close()
