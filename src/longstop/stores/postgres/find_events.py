"""Which index answers a listing of events."""

import asyncpg

from longstop.model.id_times import IdTimes
from longstop.model.listing import EventFilter, Page
from longstop.stores.postgres.statements import Condition
from longstop.stores.postgres.walk import PLANNED_FOR_ITS_VALUES, Ids, Stream, walk

_ROWS = "events e"


async def find(connection: asyncpg.Connection, wanted: EventFilter, page: Page) -> Ids:
    """The ids of one page."""
    await connection.execute(PLANNED_FOR_ITS_VALUES)
    return await search(connection, wanted, page)


async def search(connection: asyncpg.Connection, wanted: EventFilter, page: Page) -> Ids:
    """The same, in a transaction that plans for its values."""
    within, fits = await received_within(connection, "e", wanted.since_ms, wanted.until_ms)
    # The first of these has the index that is gone through: what has the fewest events of one value.
    given = [
        Condition(f"e.{name} = {{}}", (value,))
        for name, value in (("key", wanted.key), ("type", wanted.type), ("source", wanted.source))
        if value is not None
    ]
    if wanted.unrouted:
        given.insert(0, Condition("NOT e.routed"))
    within, fits = within + given[:1], fits + given[1:]
    if wanted.contains is not None:
        fits.append(Condition("position({}::bytea in e.body) > 0", (wanted.contains,)))
    return await walk(connection, [Stream(_ROWS, tuple(within), tuple(fits))], page)


async def received_within(
    connection: asyncpg.Connection,
    table: str,
    since_ms: int | None,
    until_ms: int | None,
    ended_until_ms: int | None = None,
) -> tuple[list[Condition], list[Condition]]:
    """Times as bounds of ids, and what has to be looked at besides: where ids' times are not exactly those.

    ended_until_ms: what ended before that was received before it, too.
    """
    if since_ms is None and until_ms is None and ended_until_ms is None:
        return [], []
    times = await id_times(connection)
    low, high = times.received(since_ms, until_ms, ended_until_ms)
    within = [Condition(f"{table}.id >= {{}}", (low,))] if low is not None else []
    within += [Condition(f"{table}.id < {{}}", (high,))] if high is not None else []
    fits = [Condition(f"{table}.received_at_ms >= {{}}", (since_ms,))] if since_ms is not None else []
    fits += [Condition(f"{table}.received_at_ms < {{}}", (until_ms,))] if until_ms is not None else []
    return within, fits if times.apart_ms else []


async def id_times(connection: asyncpg.Connection) -> IdTimes:
    """How far ids' times lie from those of arrival."""
    return IdTimes(*await connection.fetchrow("SELECT ahead_ms, behind_ms, early_ms FROM marks"))
