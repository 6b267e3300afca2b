"""What happened lately: functions/indexes.lua keeps the latest of each kind by their times."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, Delivery
from longstop.model.listing import History
from longstop.model.recent import Recent
from longstop.stores.redis.reading import RedisReading
from longstop.stores.redis.reply import texts

T = TypeVar("T")

Happened = tuple[Delivery, T]


class RedisRecent(RedisReading):
    """What a person who watches asks."""

    async def _recent(self, since_ms: int, limit: int) -> Recent:
        kinds = ("events", "attempts", "actions")
        found = await self.pipeline(
            *(
                ("ZRANGE", f"{self._prefix}recent:{kind}", since_ms, "+inf", "BYSCORE", "LIMIT", 0, limit)
                for kind in kinds
            )
        )
        events, attempts, actions = map(texts, found)
        heads = await self._heads(events)
        return Recent(
            tuple(head for head in heads if head is not None),
            tuple(await self._happened(attempts, _attempt)),
            tuple(await self._happened(actions, _action)),
        )

    async def _happened(self, members: Sequence[str], which: Callable[[History, int], T | None]) -> list[Happened[T]]:
        """Of each `ID:PLACE` the delivery as it stands and what is recorded at that place, where they are there yet."""
        places = [member.partition(":") for member in members]
        ids = list(dict.fromkeys(id_ for id_, _, _ in places))
        deliveries = dict(zip(ids, await self._deliveries(ids), strict=True))
        histories = dict(zip(ids, await self._histories(ids), strict=True))
        happened = []
        for id_, _, place in places:
            delivery, record = deliveries[id_], which(histories[id_], int(place))
            if delivery is not None and record is not None:
                happened.append((delivery, record))
        return happened


def _attempt(history: History, number: int) -> Attempt | None:
    return next((each for each in history.attempts if each.number == number), None)


def _action(history: History, place: int) -> ActionRecord | None:
    return history.actions[place] if place < len(history.actions) else None
