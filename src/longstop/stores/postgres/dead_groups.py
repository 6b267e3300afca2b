"""The dead by what they died of: a row a group, kept by the transactions that let deliveries die or live again.

Whoever changes a group locks its row first, and looks at its deliveries then: so two that let the first of a key die,
or the last of it live, count that key once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from longstop.model.delivery import Delivery
from longstop.model.error_group import OTHER, group_of
from longstop.model.listing import DEAD_STEP_MS
from longstop.stores.postgres.rows import THESE

GROUPS_MAX = 1_000
"""Of so many, what dies of yet another error joins the group of other errors of its destination, reason and status."""

Place = tuple[str, str, int, str]
"""Destination, reason, status (-1: none), error."""

_SAME = "destination = $1 AND reason = $2 AND status = $3 AND error = $4"
_ENSURE = "INSERT INTO dead_groups (destination, reason, status, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_ID = f"SELECT id FROM dead_groups WHERE {_SAME}"
_HOW_MANY = "SELECT count(*) FROM dead_groups"
_LOCK = "SELECT id FROM dead_groups WHERE id = $1 FOR UPDATE"
# Not NOT EXISTS, which a planner makes a join of, with all of the group.
_OTHERS = """
    SELECT count(*) FROM unnest($2::varchar[]) AS k (key)
    WHERE (SELECT true FROM deliveries d WHERE d.dead_group = $1 AND d.key = k.key LIMIT 1) IS NULL
"""
_JOIN = f"UPDATE deliveries d SET dead_group = $2 FROM {THESE} WHERE d.id = this"
_ADD = "UPDATE dead_groups SET n = n + $2, keys = keys + $3 WHERE id = $1"
_MOVE = """
    INSERT INTO dead_times (dead_group, at_ms, n)
    SELECT $1, at_ms, n FROM unnest($2::bigint[], $3::bigint[]) AS t (at_ms, n)
    ON CONFLICT (dead_group, at_ms) DO UPDATE SET n = dead_times.n + excluded.n
"""
"""There may be fewer than none, until a recount put it right."""
_FORGET_TIMES = "DELETE FROM dead_times WHERE dead_group = $1 AND at_ms = ANY($2::bigint[]) AND n = 0"


class Gone(NamedTuple):
    """A delivery that is no longer dead, as it was."""

    group: int
    key: str | None
    died_at_ms: int | None


async def join(connection: asyncpg.Connection, dead: Iterable[Delivery]) -> None:
    """These deliveries, whose rows say that they are dead, belong to their groups from now on."""
    by_place: defaultdict[Place, list[Delivery]] = defaultdict(list)
    for each in dead:
        assert each.reason is not None
        status = -1 if each.last_status is None else each.last_status
        by_place[each.destination, each.reason.value, status, group_of(each.last_error)].append(each)
    by_group: defaultdict[int, list[Delivery]] = defaultdict(list)
    for place, some in sorted(by_place.items(), key=lambda item: item[0]):
        by_group[await _known(connection, place)] += some
    taken_away: list[Delivery] = []
    # In the order in which `leave` locks them, too.
    for group, some in sorted(by_group.items()):
        if await connection.fetchval(_LOCK, group) is None:
            # A recount found nothing in it just now.
            taken_away += some
        else:
            await _join(connection, group, some)
    if taken_away:
        await join(connection, taken_away)


async def _join(connection: asyncpg.Connection, group: int, dead: list[Delivery]) -> None:
    """The group is locked."""
    keys = {each.key for each in dead if each.key is not None}
    new = await connection.fetchval(_OTHERS, group, sorted(keys))
    await connection.execute(_JOIN, [each.id for each in dead], group)
    await connection.execute(_ADD, group, len(dead), new)
    await _move(connection, group, [each.ended_at_ms for each in dead], 1)


async def leave(connection: asyncpg.Connection, gone: Iterable[Gone]) -> None:
    """These deliveries are no longer dead: their rows say so, or are no more."""
    by_group: defaultdict[int, list[Gone]] = defaultdict(list)
    for each in gone:
        by_group[each.group].append(each)
    for group, some in sorted(by_group.items()):
        await connection.execute(_LOCK, group)
        keys = sorted({each.key for each in some if each.key is not None})
        last = await connection.fetchval(_OTHERS, group, keys)
        await connection.execute(_ADD, group, -len(some), -last)
        await _move(connection, group, [each.died_at_ms for each in some], -1)


async def _move(connection: asyncpg.Connection, group: int, died_at_ms: Iterable[int | None], n: int) -> None:
    """So many more, or fewer, died in each quarter of an hour; the group is locked."""
    quarters = Counter(at_ms - at_ms % DEAD_STEP_MS for at_ms in died_at_ms if at_ms is not None)
    if quarters:
        await connection.execute(_MOVE, group, list(quarters), [n * each for each in quarters.values()])
        await connection.execute(_FORGET_TIMES, group, list(quarters))


async def _known(connection: asyncpg.Connection, place: Place) -> int:
    """The id of a group, which is made where there is none."""
    while (group := await connection.fetchval(_ID, *place)) is None:
        if await connection.fetchval(_HOW_MANY) >= GROUPS_MAX:
            place = (*place[:3], OTHER)
        await connection.execute(_ENSURE, *place)
    return int(group)
