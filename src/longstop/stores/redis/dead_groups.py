"""The dead by what they died of, as functions/dead_groups.lua keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longstop.model.delivery import DeadReason
from longstop.model.error_group import OTHER, has_variables, may_say
from longstop.model.listing import DeadGroup, DeliveryFilter
from longstop.stores.redis.database import RedisDatabase

GROUPS_MAX = 2_000
"""More than there are: functions/dead_groups.lua begins no more than a thousand, and a few of other errors."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group, as a search looks at it."""

    id: str
    about: DeadGroup


async def largest(database: RedisDatabase, destination: str | None, limit: int) -> list[DeadGroup]:
    """The largest groups."""
    return [group.about for group in await _groups(database, destination, limit)]


async def matching(database: RedisDatabase, wanted: DeliveryFilter) -> list[Group]:
    """The groups whose deliveries a filter may mean."""
    return [each for each in await _groups(database, wanted.destination, GROUPS_MAX) if _may_have(each.about, wanted)]


def _may_have(group: DeadGroup, wanted: DeliveryFilter) -> bool:
    return (
        wanted.reason in (None, group.reason)
        and wanted.status in (None, group.status)
        and (wanted.error is None or _may_say(group.error, wanted.error))
    )


def _may_say(group: str, text: str) -> bool:
    # The group of other errors: what they say, only they know.
    return may_say(group, text) if has_variables(text) else text in group or group == OTHER


async def _groups(database: RedisDatabase, destination: str | None, limit: int) -> list[Group]:
    of = () if destination is None else (destination,)
    return [_group(found) for found in await database.ask("dead_groups", limit, *of)]


def _group(found: Sequence[Any]) -> Group:
    id_, (destination, reason, status, error), n, keys, first_at_ms, last_at_ms, sample = found
    about = DeadGroup(
        _text(destination),
        DeadReason(_text(reason)),
        None if int(status) < 0 else int(status),
        _text(error),
        int(n),
        int(keys),
        int(first_at_ms),
        int(last_at_ms),
        tuple(id_.decode() for id_ in sample),
    )
    return Group(id_.decode(), about)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")
