"""Which index answers a listing of deliveries.

Of the dead every filter has one, most of them by way of the groups: few rows say which destinations, reasons, statuses
and errors there are. Of what is not dead a filter by source, type or key goes by way of the events, which have an index
for each, as long as that fills a page soon; otherwise through the deliveries.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import apsw

from longstop.model.delivery import State
from longstop.model.error_group import OTHER, has_variables, may_say
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.stores.sqlite import find_events
from longstop.stores.sqlite.event_deliveries import rows_of
from longstop.stores.sqlite.rows import Row
from longstop.stores.sqlite.walk import (
    Condition,
    Found,
    Ids,
    Stream,
    count_up_to,
    gather,
    merge,
    patience,
    walk_all,
)

FEW = 4_000
"""So many rows are fetched and sorted in some milliseconds."""
EVENTS_FIRST = 64
"""So many events are gone through in one go, and twice as many in the next; then all that are left, if they are few."""
GROUPS_MAX = 500
"""Of more groups than that, each is not asked by itself."""
GROUPS_MAX_BY_KEY = 3_000

_TABLE = "deliveries"
_ENDED = (State.DELIVERED, State.DEAD, State.DISCARDED)
_OF_EVENTS = f"rowid IN ({rows_of('SELECT value AS id FROM json_each(?)')})"
_OF_DEAD = Condition("dead_group IS NOT NULL")


def find(connection: apsw.Connection, wanted: DeliveryFilter, page: Page) -> Ids:
    """The ids of one page."""
    if wanted.reason is not None and wanted.state is None:
        wanted = replace(wanted, state=State.DEAD)
    if wanted.held and wanted.state is None:
        wanted = replace(wanted, state=State.SCHEDULED)
    return _few(connection, wanted, page) or walk_all(connection, _streams(connection, wanted), page)


# -- what has to hold ---------------------------------------------------------------------------------------


def _conditions(wanted: DeliveryFilter) -> dict[str, Condition]:
    """Every condition of a filter, by what it is about."""
    given = {
        "state": (f"state = '{wanted.state}'", ()) if wanted.state is not None else None,
        "held": ("held = ?", (int(wanted.held),)) if wanted.held is not None else None,
        "source": ("source = ?", (wanted.source,)) if wanted.source is not None else None,
        "destination": ("destination = ?", (wanted.destination,)) if wanted.destination is not None else None,
        "type": ("type = ?", (wanted.type,)) if wanted.type is not None else None,
        "key": ("key = ?", (wanted.key,)) if wanted.key is not None else None,
        "reason": ("reason = ?", (wanted.reason.value,)) if wanted.reason is not None else None,
        "status": ("last_status = ?", (wanted.status,)) if wanted.status is not None else None,
        "error": (_error_says(wanted.error), (wanted.error,)) if wanted.error is not None else None,
        "since": ("ended_at_ms >= ?", (wanted.since_ms,)) if wanted.since_ms is not None else None,
        "until": ("ended_at_ms < ?", (wanted.until_ms,)) if wanted.until_ms is not None else None,
        "contains": (
            "instr((SELECT body FROM events WHERE events.id = event_id), ?) > 0",
            (wanted.contains,),
        )
        if wanted.contains is not None
        else None,
    }
    return {name: Condition(*each) for name, each in given.items() if each is not None}


def _error_says(text: str) -> str:
    """`error_group.says`, as SQL."""
    return f"instr({'last_error' if has_variables(text) else 'error_group(last_error)'}, ?) > 0"


def _except(conditions: dict[str, Condition], *names: str) -> tuple[Condition, ...]:
    return tuple(each for name, each in conditions.items() if name not in names)


# -- few rows: fetched and sorted ---------------------------------------------------------------------------


def _few(connection: apsw.Connection, wanted: DeliveryFilter, page: Page) -> Ids | None:
    """The page, where an index says that only few rows come into question."""
    conditions = _conditions(wanted)
    within, fits = find_events.received_within(
        connection, wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms
    )
    asked = (*conditions.values(), *within, *fits)
    if wanted.state is State.LEASED:
        return gather(connection, f"SELECT id FROM {_TABLE} INDEXED BY deliveries_lease", asked, page)
    if wanted.since_ms is not None or wanted.until_ms is not None:
        return _few_ended(connection, wanted, conditions, asked, page)
    if wanted.state is not State.DEAD and (wanted.source, wanted.type, wanted.key) != (None, None, None):
        return _by_events(connection, wanted, asked, page)
    return None


def _few_ended(
    connection: apsw.Connection,
    wanted: DeliveryFilter,
    conditions: dict[str, Condition],
    asked: Sequence[Condition],
    page: Page,
) -> Ids | None:
    when = [
        Condition("ended_at_ms IS NOT NULL"),
        *(conditions[each] for each in ("since", "until") if each in conditions),
    ]
    states = [wanted.state] if wanted.state is not None else list(_ENDED)
    ended = Condition(f"state IN ({', '.join(repr(each.value) for each in states)})")
    if count_up_to(connection, FEW, _TABLE, "deliveries_ended", ended, *when) == FEW:
        return None
    return gather(connection, f"SELECT id FROM {_TABLE} INDEXED BY deliveries_ended", [ended, *when, *asked], page)


def _by_events(
    connection: apsw.Connection, wanted: DeliveryFilter, asked: Sequence[Condition], page: Page
) -> Ids | None:
    """By way of the events, some at a time in the page's order; None where too many have to be looked at for it."""
    of_events = EventFilter(wanted.source, wanted.type, wanted.key, wanted.received_since_ms, wanted.received_until_ms)
    times, until_s = find_events.id_times(connection), patience(page, 0.25)
    chunk = min(max(EVENTS_FIRST, page.limit + 1), FEW) if times.are_near else FEW
    after, looked_at, tried = times.events_behind(page), 0, 2 * chunk
    found: list[str] = []
    while looked_at < FEW:
        events = find_events.find(connection, of_events, Page(chunk, after, page.newest_first, page.patience_ms // 4))
        after = events.next_after
        if after is not None and not (times.are_near and looked_at < tried):
            return None
        found += _of_these(connection, events.ids, asked, page)
        whole = found if after is None else times.before_others(found, after, page.newest_first)
        if after is None or len(whole) > page.limit:
            return merge(page, [Found(whole)])
        looked_at += chunk
        if time.monotonic() >= until_s or _in_state(connection, wanted) <= looked_at:
            return None
        chunk = min(chunk * 2, FEW - looked_at) if looked_at < tried else FEW - looked_at
    return None


def _of_these(connection: apsw.Connection, events: Sequence[str], asked: Sequence[Condition], page: Page) -> list[str]:
    """What fits of the deliveries of these events; one more than the page has room for at most."""
    of_events = Condition(_OF_EVENTS, (ids := json.dumps(events), ids))
    return gather(connection, f"SELECT id FROM {_TABLE}", [of_events, *asked], replace(page, limit=page.limit + 1)).ids


def _in_state(connection: apsw.Connection, wanted: DeliveryFilter) -> float:
    """How many there are in the filter's state: what would have to be looked at else."""
    if wanted.state is None:
        return math.inf
    query = "SELECT sum(n) FROM counters WHERE subject = 'deliveries' AND state = ?1 AND name = ifnull(?2, name)"
    return int(connection.execute(query, (wanted.state.value, wanted.destination)).get or 0)


# -- streams ------------------------------------------------------------------------------------------------


def _streams(connection: apsw.Connection, wanted: DeliveryFilter) -> list[Stream]:
    if wanted.state is None and wanted.destination is None:
        return [_stream(connection, wanted, None, ())]
    states = list(State) if wanted.state is None else [wanted.state]
    streams: list[Stream] = []
    for state in states:
        of_state = replace(wanted, state=state)
        streams += _dead(connection, of_state) if state is State.DEAD else _living(connection, of_state)
    return streams


def _stream(
    connection: apsw.Connection,
    wanted: DeliveryFilter,
    index: str | None,
    within: Sequence[Condition],
    *served: str,
) -> Stream:
    """By this index, which serves the conditions of these names."""
    bounds, exactly = find_events.received_within(
        connection, wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms
    )
    fits = (*_except(_conditions(wanted), *served), *exactly)
    return Stream(_TABLE, index, (*within, *bounds), fits)


def _living(connection: apsw.Connection, wanted: DeliveryFilter) -> list[Stream]:
    """What waits, was delivered or discarded: each destination has its own."""
    if wanted.held and wanted.state is State.SCHEDULED:
        index, fixed, served = "deliveries_held", Condition("held = 1"), ["held"]
    elif wanted.state in (State.SCHEDULED, State.LEASED):
        index, fixed, served = "deliveries_waiting", Condition("ended_at_ms IS NULL"), []
    else:
        index, fixed, served = f"deliveries_{wanted.state}", Condition(f"state = '{wanted.state}'"), ["state"]
    return [
        _stream(connection, wanted, index, (fixed, Condition("destination = ?", (name,))), "destination", *served)
        for name in _destinations(connection, wanted)
    ]


def _destinations(connection: apsw.Connection, wanted: DeliveryFilter) -> list[str]:
    if wanted.destination is not None:
        return [wanted.destination]
    query = "SELECT name FROM counters WHERE subject = 'deliveries' AND state = ?"
    return [str(name) for (name,) in connection.execute(query, (str(wanted.state),))]


def _dead(connection: apsw.Connection, wanted: DeliveryFilter) -> list[Stream]:
    of_group = (wanted.destination, wanted.reason, wanted.status, wanted.error)
    by_group = any(each is not None for each in of_group)
    groups = _groups(connection, wanted) if by_group or wanted.key is not None else []
    if wanted.key is not None and len(groups) <= GROUPS_MAX_BY_KEY:
        return [_of_group(connection, wanted, group, whole, by_key=True) for group, whole, _ in groups]
    size = sum(n for _, _, n in groups) if by_group and len(groups) <= GROUPS_MAX else None
    for name, value in (("type", wanted.type), ("source", wanted.source)):
        if value is None:
            continue
        is_value = Condition(f"{name} = ?", (value,))
        most = size if size is not None else FEW
        if (
            size is None
            or count_up_to(connection, most + 1, _TABLE, f"deliveries_dead_{name}", _OF_DEAD, is_value) < size
        ):
            return [_stream(connection, wanted, f"deliveries_dead_{name}", (_OF_DEAD, is_value), "state", name)]
    if size is not None:
        return [_of_group(connection, wanted, group, whole) for group, whole, _ in groups]
    return [_stream(connection, wanted, "deliveries_dead", (Condition("state = 'dead'"),), "state")]


def _groups(connection: apsw.Connection, wanted: DeliveryFilter) -> list[tuple[int, bool, int]]:
    """The groups that come into question: id, whether `error` fits all of it, how many are in it."""
    query = """
        SELECT id, error, n FROM dead_groups
        WHERE n > 0 AND destination = ifnull(?, destination) AND reason = ifnull(?, reason)
            AND status = ifnull(?, status)
    """
    values = (wanted.destination, wanted.reason and wanted.reason.value, wanted.status)
    groups: list[Row] = connection.execute(query, values).fetchall()
    text = wanted.error
    if text is None:
        return [(int(id_), True, int(n)) for id_, _, n in groups]
    if has_variables(text):
        return [(int(id_), False, int(n)) for id_, error, n in groups if may_say(str(error), text)]
    # The last group takes what is one group too many: what its errors say, only they know.
    return [(int(id_), text in error, int(n)) for id_, error, n in groups if text in error or error == OTHER]


def _of_group(
    connection: apsw.Connection, wanted: DeliveryFilter, group: int, whole: bool, by_key: bool = False
) -> Stream:
    within = [Condition("dead_group = ?", (group,))]
    served = ["state", "destination", "reason", "status"]
    if whole:
        served.append("error")
    if by_key:
        within.append(Condition("key = ?", (wanted.key,)))
        served.append("key")
    index = "deliveries_dead_key" if by_key else "deliveries_dead_group"
    return _stream(connection, wanted, index, within, *served)
