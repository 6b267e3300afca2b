"""The dead by what they died of, as functions/dead_groups.lua keeps them."""

from collections.abc import Sequence

from longstop.model.delivery import DeadReason
from longstop.model.listing import DeadGroup, DeliveryFilter, TimeSteps
from longstop.stores.dead_group import Group
from longstop.stores.redis.database import RedisDatabase

GROUPS_MAX = 2_000
"""More than there are: functions/dead_groups.lua begins no more than a thousand, and a few of other errors."""


NUMBERS_AT_ONCE = 2_000
"""So many numbers of groups are looked up in one call, a millisecond or two in which the server does nothing else."""


async def largest(
    database: RedisDatabase, destination: str | None, limit: int, over: TimeSteps | None
) -> list[DeadGroup]:
    """The largest groups."""
    steps = (0, 0, 0) if over is None else (over.from_ms, over.step_ms, over.count)
    at_once = NUMBERS_AT_ONCE // (10 + steps[2])
    groups: dict[tuple[object, ...], DeadGroup] = {}
    for start in range(0, limit, at_once):
        some = min(at_once, limit - start)
        found = [
            _dead_group(*each) for each in await database.ask("dead_groups", start, some, *steps, *_of(destination))
        ]
        # One that grew meanwhile may push another down into the next call's.
        groups |= {(each.destination, each.reason, each.status, each.error): each for each in found}
        if len(found) < some:
            break
    return list(groups.values())


async def matching(database: RedisDatabase, wanted: DeliveryFilter) -> list[str]:
    """The ids of the groups whose deliveries a filter may mean."""
    found = await database.ask("groups", GROUPS_MAX, *_of(wanted.destination))
    return [group.id for group in (_group(id_.decode(), about) for id_, about in found) if group.may_have(wanted)]


def _of(destination: str | None) -> tuple[str, ...]:
    return () if destination is None else (destination,)


def _group(id_: str, about: Sequence[bytes]) -> Group:
    destination, reason, status, error = (each.decode("utf-8", "surrogatepass") for each in about)
    return Group(id_, destination, DeadReason(reason), None if int(status) < 0 else int(status), error)


def _dead_group(
    about: Sequence[bytes], n: bytes, keys: int, first: bytes, last: bytes, ids: list[bytes], over_time: list[int]
) -> DeadGroup:
    group = _group("", about)
    return DeadGroup(
        group.destination,
        group.reason,
        group.status,
        group.error,
        int(n),
        keys,
        int(first),
        int(last),
        tuple(id_.decode() for id_ in ids),
        tuple(over_time),
    )
