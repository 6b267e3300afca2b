"""Settling a batch: each lease whose token is still the delivery's ends, in one statement where no lane is in play."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.errors import LeaseLostError
from longstop.model.lease import Settlement
from longstop.stores.postgres import counters, dead_groups, lanes
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, THESE, columns, each, to_delivery
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, attempt_row

_END = {
    **dict.fromkeys("id state lane reason last_error wait".split(), "varchar[]"),
    **dict.fromkeys("due_at_ms lane_hash round_at_ms ended_at_ms expires_at_ms token".split(), "bigint[]"),
    **dict.fromkeys("round attempts tries lost last_status".split(), "int[]"),
    "skipped": "bool[]",
}
"""What a settlement says of its delivery, and the type of the array of it. `replaced_by` is not among it: a worker's
image of what it tried is older than what a person did meanwhile."""
_ATTEMPT = {
    **dict.fromkeys("outcome error frames".split(), "varchar[]"),
    **dict.fromkeys("started_at_ms duration_ms".split(), "bigint[]"),
    **dict.fromkeys("number round status".split(), "int[]"),
    "answer": "bytea[]",
}
"""What it says of its attempt, if there was one."""
_GIVEN = {**_END, **{f"a_{name}": type_ for name, type_ in _ATTEMPT.items()}}
_ARRAYS = ", ".join(f"${place}::{type_}" for place, type_ in enumerate(_GIVEN.values(), 1))
_EARLY = f"${1 + len(_GIVEN)}::bigint"
_MINE = "q.id = e.id AND q.token = e.token AND coalesce(q.lease_until_ms, -1) <> -1"
"""By its id. Not `IS NOT NULL`: as little is leased, a planner would go through the index of all that is leased, which
is full of what was, most of all beside a snapshot that somebody holds."""

_SETTLE = f"""
    WITH ends AS MATERIALIZED (SELECT * FROM unnest({_ARRAYS}) AS e ({columns(_GIVEN)})),
    over AS (
        DELETE FROM queue q USING ends e WHERE {_MINE} AND e.state <> 'scheduled' RETURNING q.destination, e.*
    ),
    again AS (
        UPDATE queue q SET due_at_ms = e.due_at_ms, tried = e.attempts > 0, tries = e.tries, lane_hash = e.lane_hash,
            expires_at_ms = e.expires_at_ms, held = e.lane_hash IS NOT NULL,
            leased_at_ms = NULL, lease_until_ms = NULL, worker = NULL
        FROM ends e WHERE {_MINE} AND e.state = 'scheduled' RETURNING q.destination, e.*
    ),
    held AS MATERIALIZED (SELECT * FROM over UNION ALL SELECT * FROM again),
    changed AS (
        UPDATE deliveries d SET {", ".join(f"{name} = e.{name}" for name in _END if name != "id")}
        FROM held e WHERE d.id = e.id
    ),
    tried AS (
        INSERT INTO attempts (delivery_id, {columns(_ATTEMPT)})
            SELECT id, {columns(f"a_{name}" for name in _ATTEMPT)} FROM held WHERE a_number IS NOT NULL
    ),
    marked AS (UPDATE marks SET early_ms = {_EARLY} WHERE early_ms < {_EARLY}),
    counted AS ({counters.add(counters.moved("(SELECT destination, 'leased' AS old, state AS new FROM held) AS m"))})
    SELECT id FROM held
"""
_LANES = "SELECT destination, lane_hash FROM queue WHERE id = ANY($1::varchar[]) AND lane_hash IS NOT NULL"
_STANDING = f"SELECT {DELIVERY} FROM {THESE} JOIN {DELIVERIES} ON d.id = this"

Results = list[LeaseLostError | None]


async def settle(database: PostgresDatabase, settlements: Sequence[Settlement]) -> Results:
    """End each lease that is still held, and record its attempt."""
    if not settlements:
        return []
    if not _needs_looking(settlements):
        held = {row["id"] for row in await database.rows(_SETTLE, *_arguments(settlements))}
        return [_result(item, item.delivery.id in held) for item in settlements]
    return await database.transact(lambda connection: within(connection, settlements))


async def within(connection: asyncpg.Connection, settlements: Sequence[Settlement]) -> Results:
    """The inside of one transaction: where lanes go on, the dead join their groups, or one delivery comes twice."""
    places = {place for item in settlements if (place := lanes.place(item.delivery)) is not None}
    if any(_in_lane(item.delivery) for item in settlements):
        # A lane does not change while its delivery is leased, so it may be read before it is locked.
        rows = await connection.fetch(_LANES, [item.delivery.id for item in settlements])
        places |= {(row["destination"], row["lane_hash"]) for row in rows}
    await lanes.lock(connection, places)
    results: dict[int, bool] = {}
    for turn in _turns(settlements):
        held = {row["id"] for row in await connection.fetch(_SETTLE, *_arguments([item for _, item in turn]))}
        results |= {number: item.delivery.id in held for number, item in turn}
    won = [item.delivery for number, item in enumerate(settlements) if results[number]]
    await dead_groups.join(connection, [each for each in won if each.state is State.DEAD])
    await lanes.advance(connection, places)
    return [_result(item, results[number]) for number, item in enumerate(settlements)]


async def settled_before(database: PostgresDatabase, settlements: Sequence[Settlement], results: Results) -> Results:
    """The results where an earlier try's answer was lost: what stands as it was to be settled was settled by it."""
    lost = [item.delivery.id for item, result in zip(settlements, results, strict=True) if result is not None]
    if not lost:
        return results
    standing = {found.id: found for found in each(await database.rows(_STANDING, lost), to_delivery)}
    return [
        None if result is not None and _is_settled(item.delivery, standing.get(item.delivery.id)) else result
        for item, result in zip(settlements, results, strict=True)
    ]


def _is_settled(wanted: Delivery, found: Delivery | None) -> bool:
    return found is not None and _row(found) == _row(wanted)


def _needs_looking(settlements: Sequence[Settlement]) -> bool:
    ids = {item.delivery.id for item in settlements}
    return len(ids) < len(settlements) or any(
        _in_lane(item.delivery) or item.delivery.state is State.DEAD for item in settlements
    )


def _in_lane(delivery: Delivery) -> bool:
    """Whether it is in a lane, or has just left one: only one that was skipped leaves its lane."""
    return delivery.lane is not None or delivery.skipped


def _turns(settlements: Sequence[Settlement]) -> list[list[tuple[int, Settlement]]]:
    """The settlements with their numbers, so that of one delivery there is one in each turn."""
    turns: list[list[tuple[int, Settlement]]] = []
    seen: dict[str, int] = {}
    for number, item in enumerate(settlements):
        turn = seen.get(item.delivery.id, 0)
        seen[item.delivery.id] = turn + 1
        turns += [[]] if turn == len(turns) else []
        turns[turn].append((number, item))
    return turns


def _row(d: Delivery) -> tuple[Any, ...]:
    texts = (d.id, d.state.value, d.lane, d.reason and d.reason.value, d.last_error, d.wait and d.wait.value)
    times = (d.due_at_ms, lanes.lane_hash(d.lane), d.round_at_ms, d.ended_at_ms, d.expires_at_ms, d.token)
    return (*texts, *times, d.round, d.attempts, d.tries, d.lost, d.last_status, d.skipped)


def _attempt(attempt: Attempt | None) -> tuple[Any, ...]:
    if attempt is None:
        return (None,) * len(_ATTEMPT)
    named = dict(zip(ATTEMPT_COLUMNS, attempt_row(attempt), strict=True))
    return tuple(named[name] for name in _ATTEMPT)


def _arguments(settlements: Sequence[Settlement]) -> list[Any]:
    rows = [(*_row(item.delivery), *_attempt(item.attempt)) for item in settlements]
    return [*zip(*rows, strict=True), _early(settlements)]


def _early(settlements: Sequence[Settlement]) -> int:
    """How long before its arrival one of them ended, at most: by a clock that was put back."""
    ended = (item.delivery for item in settlements if item.delivery.ended_at_ms is not None)
    return max([0, *(each.received_at_ms - (each.ended_at_ms or 0) for each in ended)])


def _result(item: Settlement, held: bool) -> LeaseLostError | None:
    return None if held else LeaseLostError(item.delivery.id, item.delivery.token)
