"""Which index answers a listing of deliveries.

What waits is in `queue`. Of the dead every filter has an index, most of them by way of the groups: few rows say which
destinations, reasons, statuses and errors there are. Of what is not dead a filter by source, type or key goes by way of
the events, which have an index for each, as long as that fills a page soon; otherwise through the deliveries.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import asyncpg

from longstop.model.delivery import State
from longstop.model.error_group import OTHER, has_variables, may_say
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.stores.postgres import find_events
from longstop.stores.postgres.find_events import received_within
from longstop.stores.postgres.statements import Condition
from longstop.stores.postgres.walk import PLANNED_FOR_ITS_VALUES, Each, Ids, Stream, count_up_to, gather, ids_of, walk

FEW = 4_000
"""So many rows are fetched and sorted in some milliseconds."""
EVENTS_FIRST = 64
"""So many events are gone through in one go, and twice as many in the next; then all that are left, if they are few."""
GROUPS_MAX = 500
"""Of more groups than that, each is not asked by itself."""
GROUPS_MAX_BY_KEY = 3_000

_DELIVERIES, _QUEUE = "deliveries d", "queue q"
_WITH_QUEUE = "LEFT JOIN queue q ON q.id = d.id"
# OFFSET 0: whatever else is asked, it is found by the events, one look-up each.
_OF_EVENTS = f"""
    unnest({{}}::text[]) AS this CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE event_id = this OFFSET 0) AS d
    {_WITH_QUEUE}
"""
_WITH_DELIVERY = "JOIN deliveries d ON d.id = q.id"
_WAITING = (State.SCHEDULED, State.LEASED)
_ENDED = (State.DELIVERED, State.DEAD, State.DISCARDED)
_LEASED = Condition("q.lease_until_ms IS NOT NULL")
_SCHEDULED = Condition("q.lease_until_ms IS NULL")
_OF_DEAD = Condition("d.dead_group IS NOT NULL")


class _Group(NamedTuple):
    """A group of the dead that comes into question."""

    id: int
    whole: bool
    """Whether what its errors are to say fits all of it."""
    n: int


async def find(connection: asyncpg.Connection, wanted: DeliveryFilter, page: Page) -> Ids:
    """The ids of one page."""
    await connection.execute(PLANNED_FOR_ITS_VALUES)
    if wanted.reason is not None and wanted.state is None:
        wanted = replace(wanted, state=State.DEAD)
    if wanted.held and wanted.state is None:
        wanted = replace(wanted, state=State.SCHEDULED)
    few = await _few(connection, wanted, page)
    return few or await walk(connection, await _streams(connection, wanted), page)


# -- what has to hold ---------------------------------------------------------------------------------------


def _conditions(wanted: DeliveryFilter) -> dict[str, Condition]:
    """Every condition of a filter, by what it is about; of the tables d and q."""
    given = {
        "state": (_standing(wanted.state), ()) if wanted.state is not None else None,
        "held": (f"coalesce(q.held, false) = {wanted.held}", ()) if wanted.held is not None else None,
        "source": ("d.source = {}", (wanted.source,)) if wanted.source is not None else None,
        "destination": ("d.destination = {}", (wanted.destination,)) if wanted.destination is not None else None,
        "type": ("d.type = {}", (wanted.type,)) if wanted.type is not None else None,
        "key": ("d.key = {}", (wanted.key,)) if wanted.key is not None else None,
        "reason": ("d.reason = {}", (wanted.reason.value,)) if wanted.reason is not None else None,
        "status": ("d.last_status = {}::bigint", (wanted.status,)) if wanted.status is not None else None,
        "error": (_error_says(wanted.error), (wanted.error,)) if wanted.error is not None else None,
        "since": ("d.ended_at_ms >= {}", (wanted.since_ms,)) if wanted.since_ms is not None else None,
        "until": ("d.ended_at_ms < {}", (wanted.until_ms,)) if wanted.until_ms is not None else None,
        "contains": (
            "position({}::bytea in (SELECT e.body FROM events e WHERE e.id = d.event_id)) > 0",
            (wanted.contains,),
        )
        if wanted.contains is not None
        else None,
    }
    return {name: Condition(*each) for name, each in given.items() if each is not None}


def _standing(state: State) -> str:
    """Whether a delivery stands so: what a lease changes is in `queue` alone."""
    if state in _WAITING:
        return f"q.id IS NOT NULL AND q.lease_until_ms IS {'NOT NULL' if state is State.LEASED else 'NULL'}"
    return f"d.state = '{state.value}'"


def _error_says(text: str) -> str:
    """`error_group.says`, as SQL."""
    error = "d.last_error" if has_variables(text) else "error_group(d.last_error)"
    return f"d.last_error IS NOT NULL AND position({{}} in {error}) > 0"


def _except(conditions: dict[str, Condition], *names: str) -> tuple[Condition, ...]:
    return tuple(each for name, each in conditions.items() if name not in names)


# -- few rows: fetched and sorted ---------------------------------------------------------------------------


async def _few(connection: asyncpg.Connection, wanted: DeliveryFilter, page: Page) -> Ids | None:
    """The page, where an index says that only few rows come into question."""
    conditions = _conditions(wanted)
    within, fits = await received_within(
        connection, "d", wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms
    )
    asked = [*conditions.values(), *within, *fits]
    if wanted.state is State.LEASED:
        return await gather(connection, Condition(f"{_QUEUE} {_WITH_DELIVERY}"), [_LEASED, *asked], page)
    if wanted.since_ms is not None or wanted.until_ms is not None:
        return await _few_ended(connection, wanted, conditions, asked, page)
    if wanted.state is not State.DEAD and (wanted.source, wanted.type, wanted.key) != (None, None, None):
        return await _by_events(connection, wanted, asked, page)
    return None


async def _few_ended(
    connection: asyncpg.Connection,
    wanted: DeliveryFilter,
    conditions: dict[str, Condition],
    asked: Sequence[Condition],
    page: Page,
) -> Ids | None:
    states = [wanted.state] if wanted.state is not None else list(_ENDED)
    when = [
        Condition("d.state = ANY({}::text[])", ([each.value for each in states],)),
        Condition("d.ended_at_ms IS NOT NULL"),
        *(conditions[each] for each in ("since", "until") if each in conditions),
    ]
    if await count_up_to(connection, FEW, _DELIVERIES, *when) == FEW:
        return None
    return await gather(connection, Condition(f"{_DELIVERIES} {_WITH_QUEUE}"), [*when, *asked], page)


async def _by_events(
    connection: asyncpg.Connection, wanted: DeliveryFilter, asked: Sequence[Condition], page: Page
) -> Ids | None:
    """By way of the events, some at a time in the page's order; None where too many have to be looked at for it."""
    of_events = EventFilter(wanted.source, wanted.type, wanted.key, wanted.received_since_ms, wanted.received_until_ms)
    times, until_s = await find_events.id_times(connection), time.monotonic() + page.patience_ms / 4_000
    chunk = min(max(EVENTS_FIRST, page.limit + 1), FEW) if times.are_near else FEW
    after, looked_at, tried = times.events_behind(page), 0, 2 * chunk
    found: list[str] = []
    while looked_at < FEW:
        rest = Page(chunk, after, page.newest_first, page.patience_ms // 4)
        events = await find_events.search(connection, of_events, rest)
        after = events.next_after
        if after is not None and not (times.are_near and looked_at < tried):
            return None
        found += await _of_these(connection, events.ids, asked, page)
        whole = found if after is None else times.before_others(found, after, page.newest_first)
        if after is None or len(whole) > page.limit:
            return ids_of(page, sorted(whole, reverse=page.newest_first))
        looked_at += chunk
        if time.monotonic() >= until_s or await _in_state(connection, wanted) <= looked_at:
            return None
        chunk = min(chunk * 2, FEW - looked_at) if looked_at < tried else FEW - looked_at
    return None


async def _of_these(
    connection: asyncpg.Connection, events: Sequence[str], asked: Sequence[Condition], page: Page
) -> list[str]:
    """What fits of the deliveries of these events; one more than the page has room for at most."""
    return (await gather(connection, Condition(_OF_EVENTS, (events,)), asked, replace(page, limit=page.limit + 1))).ids


async def _in_state(connection: asyncpg.Connection, wanted: DeliveryFilter) -> float:
    """How many there are in the filter's state: what would have to be looked at else."""
    if wanted.state is None:
        return math.inf
    query = "SELECT sum(n) FROM counted WHERE subject = 'deliveries' AND state = $1 AND name = coalesce($2, name)"
    return int(await connection.fetchval(query, wanted.state.value, wanted.destination) or 0)


# -- streams ------------------------------------------------------------------------------------------------


async def _streams(connection: asyncpg.Connection, wanted: DeliveryFilter) -> list[Stream]:
    bounds, exactly = await received_within(
        connection, "d", wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms
    )
    if wanted.state is None and wanted.destination is None:
        fits = (*_conditions(wanted).values(), *exactly)
        return [Stream(_DELIVERIES, tuple(bounds), fits, beside=_WITH_QUEUE if wanted.held is not None else "")]
    streams: list[Stream] = []
    if wanted.state is None or wanted.state in _WAITING:
        streams += _waiting(wanted, exactly, bounds)
    for state in _ENDED if wanted.state is None else [wanted.state]:
        of_state = replace(wanted, state=state, held=None)
        if wanted.held or state in _WAITING:
            continue
        if state is State.DEAD:
            streams += await _dead(connection, of_state, exactly, bounds)
        else:
            streams.append(await _done(connection, of_state, exactly, bounds))
    return streams


def _waiting(wanted: DeliveryFilter, exactly: Sequence[Condition], bounds: Sequence[Condition]) -> list[Stream]:
    """What is scheduled or leased: the ids in `queue` are those of deliveries."""
    if wanted.since_ms is not None or wanted.until_ms is not None:
        return []
    within = [Condition(each.sql.replace("d.id", "q.id"), each.values) for each in bounds]
    if wanted.destination is not None:
        within.append(Condition("q.destination = {}", (wanted.destination,)))
    if wanted.held is not None:
        within.append(Condition("q.held" if wanted.held else "NOT q.held"))
    if wanted.state is State.SCHEDULED:
        # Few are leased, so this passes over few.
        within.append(_SCHEDULED)
    fits = (*_except(_conditions(wanted), "state", "held", "destination"), *exactly)
    return [Stream(_QUEUE, tuple(within), fits, beside=_WITH_DELIVERY if fits else "")]


async def _done(
    connection: asyncpg.Connection, wanted: DeliveryFilter, exactly: Sequence[Condition], bounds: Sequence[Condition]
) -> Stream:
    """What was delivered or discarded: each destination has its own."""
    fits = (*_except(_conditions(wanted), "state", "destination"), *exactly)
    names = [wanted.destination] if wanted.destination is not None else await _destinations(connection, wanted)
    within = (Condition(f"d.state = '{wanted.state}'"), *bounds)
    return Stream(_DELIVERIES, within, fits, Each("d.destination", "varchar", names))


async def _destinations(connection: asyncpg.Connection, wanted: DeliveryFilter) -> list[str]:
    query = "SELECT DISTINCT name FROM counted WHERE subject = 'deliveries' AND state = $1"
    return [name for (name,) in await connection.fetch(query, str(wanted.state))]


# -- the dead -----------------------------------------------------------------------------------------------


async def _dead(
    connection: asyncpg.Connection, wanted: DeliveryFilter, exactly: Sequence[Condition], bounds: Sequence[Condition]
) -> list[Stream]:
    of_group = (wanted.destination, wanted.reason, wanted.status, wanted.error)
    by_group = any(each is not None for each in of_group)
    groups = await _groups(connection, wanted) if by_group or wanted.key is not None else []
    if wanted.key is not None and len(groups) <= GROUPS_MAX_BY_KEY:
        return _of_groups(wanted, groups, exactly, bounds, by_key=True)
    size = sum(each.n for each in groups) if by_group and len(groups) <= GROUPS_MAX else None
    for name, value in (("type", wanted.type), ("source", wanted.source)):
        if value is None:
            continue
        is_value = Condition(f"d.{name} = {{}}", (value,))
        if size is None or await count_up_to(connection, size + 1, _DELIVERIES, _OF_DEAD, is_value) < size:
            return [_dead_stream(wanted, (_OF_DEAD, is_value), name, exactly, bounds)]
    if size is not None:
        return _of_groups(wanted, groups, exactly, bounds)
    return [_dead_stream(wanted, (_OF_DEAD,), "state", exactly, bounds)]


def _dead_stream(
    wanted: DeliveryFilter,
    within: Sequence[Condition],
    served: str,
    exactly: Sequence[Condition],
    bounds: Sequence[Condition],
) -> Stream:
    fits = (*_except(_conditions(wanted), "state", served), *exactly)
    return Stream(_DELIVERIES, (*within, *bounds), fits)


async def _groups(connection: asyncpg.Connection, wanted: DeliveryFilter) -> list[_Group]:
    query = """
        SELECT id, error, n FROM dead_groups
        WHERE n > 0 AND destination = coalesce($1, destination) AND reason = coalesce($2, reason)
            AND status = coalesce($3::bigint, status)
    """
    values = (wanted.destination, wanted.reason and wanted.reason.value, wanted.status)
    groups = await connection.fetch(query, *values)
    text = wanted.error
    if text is None:
        return [_Group(id_, True, n) for id_, _, n in groups]
    if has_variables(text):
        return [_Group(id_, False, n) for id_, error, n in groups if may_say(error, text)]
    # The last group takes what is one group too many: what its errors say, only they know.
    return [_Group(id_, text in error, n) for id_, error, n in groups if text in error or error == OTHER]


def _of_groups(
    wanted: DeliveryFilter,
    groups: Sequence[_Group],
    exactly: Sequence[Condition],
    bounds: Sequence[Condition],
    by_key: bool = False,
) -> list[Stream]:
    """Those of which all fit what is said of errors, and those in which each is looked at."""
    within, served = [*bounds], ["state", "destination", "reason", "status"]
    if by_key:
        within.append(Condition("d.key = {}", (wanted.key,)))
        served.append("key")
    streams = []
    for whole in (True, False):
        ids = [each.id for each in groups if each.whole is whole]
        fits = (*_except(_conditions(wanted), *served, *(["error"] if whole else [])), *exactly)
        streams.append(Stream(_DELIVERIES, tuple(within), fits, Each("d.dead_group", "bigint", ids)))
    return streams
