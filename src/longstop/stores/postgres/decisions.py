"""What people decide: acting on deliveries, sending an event in the place of another, pausing destinations."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from longstop.model.action import Action, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery, State
from longstop.model.errors import TransitionError, UnreadableRowError
from longstop.stores.postgres import append_rows, counters, dead_groups, lanes, unreadable
from longstop.stores.postgres.lanes import Place
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, THESE, columns, reader, to_delivery

_STANDING = f"SELECT {DELIVERY}, d.dead_group FROM {THESE} JOIN {DELIVERIES} ON d.id = this"
_LOCK_QUEUE = "SELECT id FROM queue WHERE id = ANY($1::varchar[]) ORDER BY id FOR UPDATE"
_LOCK = f"SELECT d.id FROM {THESE} JOIN deliveries d ON d.id = this ORDER BY d.id FOR UPDATE OF d"

_IMAGE = {
    **dict.fromkeys("id state lane reason last_error wait replaced_by".split(), "varchar[]"),
    **dict.fromkeys("due_at_ms lane_hash round_at_ms ended_at_ms expires_at_ms token".split(), "bigint[]"),
    **dict.fromkeys("round attempts tries lost last_status".split(), "int[]"),
    "skipped": "bool[]",
}
_ARRAYS = ", ".join(f"${place}::{type_}" for place, type_ in enumerate(_IMAGE.values(), 1))
_OLD = f"${1 + len(_IMAGE)}::varchar[]"
_WRITTEN = [name for name in _IMAGE if name != "id"]
_WRITE = f"""
    WITH images AS MATERIALIZED (SELECT * FROM unnest({_ARRAYS}, {_OLD}) AS i ({columns(_IMAGE)}, old)),
    changed AS (
        UPDATE deliveries d SET {", ".join(f"{name} = i.{name}" for name in _WRITTEN)},
            dead_group = CASE WHEN i.old = 'dead' AND i.state <> 'dead' THEN NULL ELSE d.dead_group END
        FROM images i WHERE d.id = i.id RETURNING d.id, d.destination
    ), gone AS (
        DELETE FROM queue q USING images i WHERE q.id = i.id AND i.state <> 'scheduled'
    ), queued AS (
        INSERT INTO queue (id, destination, due_at_ms, tried, tries, expires_at_ms, lane_hash, held, token)
            SELECT i.id, c.destination, i.due_at_ms, i.attempts > 0, i.tries, i.expires_at_ms, i.lane_hash,
                i.lane_hash IS NOT NULL, i.token
            FROM images i JOIN changed c ON c.id = i.id WHERE i.state = 'scheduled'
            ON CONFLICT (id) DO UPDATE SET due_at_ms = excluded.due_at_ms, tries = excluded.tries,
                expires_at_ms = excluded.expires_at_ms, lane_hash = excluded.lane_hash, held = excluded.held
    ), moved AS MATERIALIZED (
        SELECT c.destination, i.old, i.state AS new FROM images i JOIN changed c ON c.id = i.id WHERE i.old <> i.state
    ), counted AS ({counters.add(counters.moved("moved"))})
    SELECT count(*) FROM changed
"""
_EARLY = "UPDATE marks SET early_ms = $1 WHERE early_ms < $1"
_RECORD = """
    INSERT INTO actions (delivery_id, trigger, at_ms, "by", why)
    SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::bigint[], $4::varchar[], $5::varchar[])
"""
_INSERT_EDIT = 'INSERT INTO edits (event_id, parent, at_ms, "by", why) VALUES ($1, $2, $3, $4, $5)'
_REPLACED = f"UPDATE deliveries d SET replaced_by = $2 FROM {THESE} WHERE d.id = this"
PAUSE = """
    INSERT INTO pauses (destination, at_ms, "by", why) VALUES ($1, $2, $3, $4)
    ON CONFLICT (destination) DO UPDATE SET "by" = excluded.by, why = excluded.why
    RETURNING xmax = 0 AS new
"""
RESUME = "DELETE FROM pauses WHERE destination = $1 RETURNING destination"
PAUSES = 'SELECT destination, at_ms, "by", why FROM pauses ORDER BY destination'

Standing = dict[str, tuple[Delivery, int | None]]
"""Deliveries as they stand, with their groups if they are dead."""

to_pause = reader("pause", lambda row: Pause(*row))


async def act(connection: asyncpg.Connection, actions: Sequence[Action]) -> list[Delivery | None]:
    """Carry out each action that the delivery's state allows, and record it; the inside of one transaction."""
    return await carry_out(connection, actions, await locked(connection, actions))


async def locked(connection: asyncpg.Connection, actions: Sequence[Action]) -> Standing:
    """The deliveries of these actions as they stand until the end of the transaction.

    Lanes first, then the queue, then the deliveries, as whoever settles has it: nobody waits for each other crosswise.
    """
    ids = sorted({action.delivery_id for action in actions})
    seen = await _standing(connection, ids, actions)
    await lanes.lock(connection, _places(seen, _carried_out(seen, actions)[0]))
    await connection.fetch(_LOCK_QUEUE, ids)
    await connection.fetch(_LOCK, ids)
    return await _standing(connection, ids, actions)


async def carry_out(
    connection: asyncpg.Connection, actions: Sequence[Action], before: Standing
) -> list[Delivery | None]:
    """The same of deliveries that are locked and stand so; some of them may be nobody's who acts."""
    after, results, records = _carried_out(before, actions)
    changed = [id_ for id_ in after if after[id_] != before[id_][0]]
    await write(connection, [(before[id_][0], after[id_]) for id_ in changed])
    left = [
        dead_groups.Gone(group, old.key, old.ended_at_ms)
        for old, group in map(before.__getitem__, changed)
        if group is not None and after[old.id].state is not State.DEAD
    ]
    await dead_groups.leave(connection, left)
    if records:
        await connection.execute(_RECORD, *zip(*records, strict=True))
    await lanes.advance(connection, _places(before, after))
    return results


async def write(connection: asyncpg.Connection, changes: Sequence[tuple[Delivery, Delivery]]) -> None:
    """Write each second image over the first one, which is how the delivery stands; none of them is leased."""
    if not changes:
        return
    rows = [(*_image(new), old.state.value) for old, new in changes]
    await connection.fetch(_WRITE, *zip(*rows, strict=True))
    early = max(new.received_at_ms - new.ended_at_ms if new.ended_at_ms is not None else 0 for _, new in changes)
    if early > 0:
        await connection.execute(_EARLY, early)


async def replace(connection: asyncpg.Connection, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
    """Keep the new event and the record; the inside of one transaction. Raises ValueError where an id is taken."""
    try:
        await append_rows.within(connection, [append])
        await connection.execute(_INSERT_EDIT, edit.event_id, edit.parent, edit.at_ms, edit.by, edit.why)
    except asyncpg.UniqueViolationError as error:
        raise ValueError(f"event id {edit.event_id}, or one of its deliveries', is already kept") from error
    await connection.execute(_REPLACED, sorted(delivery_ids), edit.event_id)


async def _standing(connection: asyncpg.Connection, ids: Sequence[str], actions: Sequence[Action]) -> Standing:
    """What cannot be read is parked, and stands as dead."""
    found: Standing = {}
    unread: list[tuple[str, UnreadableRowError]] = []
    for row in await connection.fetch(_STANDING, ids):
        try:
            found[row["id"]] = (to_delivery(row[:-1]), row["dead_group"])
        except UnreadableRowError as error:
            unread.append((row["id"], error))
    if not unread:
        return found
    await unreadable.within(connection, unread, min(action.transition.at_ms for action in actions))
    return await _standing(connection, ids, actions)


def _carried_out(
    standing: Standing, actions: Sequence[Action]
) -> tuple[dict[str, Delivery], list[Delivery | None], list[tuple[Any, ...]]]:
    """The deliveries once all of it is done, what became of each action, and what is recorded."""
    now = {id_: delivery for id_, (delivery, _) in standing.items()}
    results: list[Delivery | None] = []
    records = []
    for action in actions:
        old, transition = now.get(action.delivery_id), action.transition
        try:
            new = None if old is None else old.after(transition)
        except TransitionError:
            new = None
        results.append(new)
        if new is not None:
            now[new.id] = new
            records.append((new.id, transition.trigger.value, transition.at_ms, action.by, action.why))
    return now, results, records


def _places(before: Standing, after: dict[str, Delivery]) -> set[Place]:
    both = [*(delivery for delivery, _ in before.values()), *after.values()]
    return {place for place in map(lanes.place, both) if place is not None}


def _image(d: Delivery) -> tuple[Any, ...]:
    reason, wait = d.reason and d.reason.value, d.wait and d.wait.value
    texts = (d.id, d.state.value, d.lane, reason, d.last_error, wait, d.replaced_by)
    times = (d.due_at_ms, lanes.lane_hash(d.lane), d.round_at_ms, d.ended_at_ms, d.expires_at_ms, d.token)
    return (*texts, *times, d.round, d.attempts, d.tries, d.lost, d.last_status, d.skipped)
