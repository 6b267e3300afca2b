"""The dead by what they died of: a row a group, kept by the transactions that let deliveries die or live again.

Whoever changes a group locks its row first, and looks at its deliveries then: so two that let the first of a key die,
or the last of it live, count that key once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import asyncpg

from longstop.model.delivery import Delivery
from longstop.model.error_group import OTHER, group_of

GROUPS_MAX = 1_000
"""Of so many, what dies of yet another error joins the group of other errors of its destination, reason and status."""

Place = tuple[str, str, int, str]
"""Destination, reason, status (-1: none), error."""

_SAME = "destination = $1 AND reason = $2 AND status = $3 AND error = $4"
_ENSURE = "INSERT INTO dead_groups (destination, reason, status, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_ID = f"SELECT id FROM dead_groups WHERE {_SAME} FOR UPDATE"
_HOW_MANY = "SELECT count(*) FROM dead_groups"
_LOCK = "SELECT id FROM dead_groups WHERE id = $1 FOR UPDATE"
_OTHERS = """
    SELECT count(*) FROM unnest($2::varchar[]) AS k (key)
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.dead_group = $1 AND d.key = k.key)
"""
_JOIN = "UPDATE deliveries SET dead_group = $1 WHERE id = ANY($2::varchar[])"
_ADD = "UPDATE dead_groups SET n = n + $2, keys = keys + $3 WHERE id = $1"


async def join(connection: asyncpg.Connection, dead: Iterable[Delivery]) -> None:
    """These deliveries, whose rows say that they are dead, belong to their groups from now on."""
    by_place: defaultdict[Place, list[Delivery]] = defaultdict(list)
    for each in dead:
        assert each.reason is not None
        status = -1 if each.last_status is None else each.last_status
        by_place[each.destination, each.reason.value, status, group_of(each.last_error)].append(each)
    for place, some in sorted(by_place.items(), key=lambda item: item[0]):
        group = await _locked(connection, place)
        keys = {each.key for each in some if each.key is not None}
        new = await connection.fetchval(_OTHERS, group, sorted(keys))
        await connection.execute(_JOIN, group, [each.id for each in some])
        await connection.execute(_ADD, group, len(some), new)


async def leave(connection: asyncpg.Connection, gone: Sequence[tuple[int, str | None]]) -> None:
    """Deliveries of these groups, with these keys, are no longer dead: their rows say so, or are no more."""
    by_group: defaultdict[int, list[str | None]] = defaultdict(list)
    for group, key in gone:
        by_group[group].append(key)
    for group, keys in sorted(by_group.items()):
        await connection.execute(_LOCK, group)
        last = await connection.fetchval(_OTHERS, group, sorted({key for key in keys if key is not None}))
        await connection.execute(_ADD, group, -len(keys), -last)


async def _locked(connection: asyncpg.Connection, place: Place) -> int:
    """The id of a group, which is there and locked."""
    group = await connection.fetchval(_ID, *place)
    if group is None:
        if await connection.fetchval(_HOW_MANY) >= GROUPS_MAX:
            place = (*place[:3], OTHER)
        await connection.execute(_ENSURE, *place)
        group = await connection.fetchval(_ID, *place)
    return int(group)
