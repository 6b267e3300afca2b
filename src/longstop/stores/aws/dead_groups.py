"""The dead by what they died of: kept in the transaction in which one dies, or leaves the dead."""

import asyncio
import hashlib
from typing import Any

from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.error_group import OTHER, group_of
from longstop.model.listing import DEAD_STEP_MS, DeadGroup, TimeSteps
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.dynamodb import Table
from longstop.stores.aws.packing import pack, unpack_values
from longstop.stores.aws.table import Keys, number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import readable
from longstop.stores.dead_group import Group

GROUPS_MAX = 1_000
"""Of so many, what dies of yet another error joins the group of other errors of its like."""
SAMPLE = 5


async def change(view: View[Any], old: Delivery | None, new: Delivery | None) -> str | None:
    """Note that a delivery was `old` and is `new`; the group that it is in now."""
    if old is not None and old.state is State.DEAD:
        await _leave(view, old)
    return await _join(view, new) if new is not None and new.state is State.DEAD else None


async def _leave(view: View[Any], old: Delivery) -> None:
    row = await view.get(keys.ended(old.id))
    if row is None or "group" not in row:
        return
    group = str(row["group"])
    _count(view, group, old, -1)
    if old.key is None:
        return
    kept = await view.get(_key_row(group, old.key))
    left = 0 if kept is None else int(kept["n"]) - 1
    if kept is not None and left > 0:
        await view.put(kept | {"n": left})
        return
    await view.drop(_key_row(group, old.key))
    view.count((keys.GROUP_COUNTERS, group), "keys", -1)


async def _join(view: View[Any], new: Delivery) -> str:
    group = await _group(view, new)
    _count(view, group, new, 1)
    if new.key is not None:
        key = _key_row(group, new.key)
        kept = await view.get(key)
        await view.put({"pk": key[0], "sk": key[1], "n": 1 if kept is None else int(kept["n"]) + 1})
        if kept is None:
            view.count((keys.GROUP_COUNTERS, group), "keys", 1)
    return group


def _count(view: View[Any], group: str, delivery: Delivery, amount: int) -> None:
    view.count((keys.GROUP_COUNTERS, group), "n", amount)
    ended_at_ms = delivery.ended_at_ms or 0
    view.count((f"GH#{group}", number(ended_at_ms - ended_at_ms % DEAD_STEP_MS)), "n", amount)


async def _group(view: View[Any], new: Delivery) -> str:
    """The group that one joins, which is there from then on."""
    text = group_of(new.last_error)
    id_ = _id(new, text)
    if await view.get((keys.GROUPS, id_)) is not None:
        view.require((keys.GROUPS, id_))
        return id_
    if len(await view.query(keys.GROUPS, limit=GROUPS_MAX)) >= GROUPS_MAX:
        text = OTHER
        id_ = _id(new, text)
        if await view.get((keys.GROUPS, id_)) is not None:
            view.require((keys.GROUPS, id_))
            return id_
    row = pack((new.destination, new.reason, new.last_status, text))
    await view.put({"pk": keys.GROUPS, "sk": id_, "row": row})
    return id_


def _id(delivery: Delivery, text: str) -> str:
    about = pack((delivery.destination, delivery.reason, delivery.last_status, text))
    return hashlib.blake2b(about.encode(), digest_size=8).hexdigest()


def _key_row(group: str, key: str) -> Key:
    return f"GK#{group}", keys.short(key)


# -- asked by people ------------------------------------------------------------------------------


async def all_of(table: Table) -> list[Group]:
    """All groups that there are."""
    return list(readable(await table.query(keys.GROUPS), _to_group))


def _to_group(row: Item) -> Group:
    destination, reason, status, error = unpack_values("a group", row)
    return Group(str(row["sk"]), destination, DeadReason(reason), status, error)


async def largest(
    table: Table, shards: Keys, destination: str | None, limit: int, over: TimeSteps | None
) -> list[DeadGroup]:
    """The largest groups."""
    groups, counters = await asyncio.gather(all_of(table), table.query(keys.GROUP_COUNTERS))
    counts: dict[str, dict[str, int]] = {}
    for row in counters:
        kept = counts.setdefault(str(row["sk"]).partition("#")[0], {"n": 0, "keys": 0})
        for name in kept:
            kept[name] += int(row.get(name, 0))
    there = [each for each in groups if destination in (None, each.destination) and _n(counts, each) > 0]
    there.sort(key=lambda each: -_n(counts, each))
    shown = there[:limit]
    return list(await asyncio.gather(*(_shown(table, shards, each, counts[each.id], over) for each in shown)))


def _n(counts: dict[str, dict[str, int]], group: Group) -> int:
    return counts.get(group.id, {}).get("n", 0)


async def _shown(table: Table, shards: Keys, group: Group, counts: dict[str, int], over: TimeSteps | None) -> DeadGroup:
    first, last, over_time = await asyncio.gather(
        _ends(table, shards, group.id, 1, newest=False),
        _ends(table, shards, group.id, SAMPLE, newest=True),
        _over_time(table, group.id, over),
    )
    about = (group.destination, group.reason, group.status, group.error)
    times = (first[0][0] if first else 0, last[0][0] if last else 0)
    return DeadGroup(*about, counts["n"], counts["keys"], *times, tuple(id_ for _, id_ in last), over_time)


async def _ends(table: Table, shards: Keys, group: str, n: int, newest: bool) -> list[tuple[int, str]]:
    """When the first or last of a group ended, and which they are."""
    index = "by_group_end"
    found = await asyncio.gather(
        *(
            table.query(
                f"G#{group}#{shard}",
                index=index,
                names=keys.GLOBAL_INDEXES[index],
                limit=n,
                backward=newest,
                consistent=False,
            )
            for shard in shards.all_shards()
        )
    )
    ends = [str(row["at"]).partition("#") for rows in found for row in rows]
    return sorted(((int(at), id_) for at, _, id_ in ends), reverse=newest)[:n]


async def _over_time(table: Table, group: str, over: TimeSteps | None) -> tuple[int, ...]:
    if over is None:
        return ()
    rows = await table.query(f"GH#{group}", number(over.from_ms), number(over.until_ms))
    steps = [0] * over.count
    for row in rows:
        at_ms = int(str(row["sk"]).partition("#")[0])
        if over.from_ms <= at_ms < over.until_ms:
            steps[(at_ms - over.from_ms) // over.step_ms] += int(row["n"])
    return tuple(steps)
