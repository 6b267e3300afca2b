"""Parking a delivery that cannot be read, or whose event cannot: it is dead, with the reason `malformed`.

So it is in nobody's way, is listed with what is wrong with it, and a person decides: discard it, or mend the store and
replay it. A row is one text here: of one that another program has written over nothing is left. What it was is made
anew from its event, which came when the delivery's id was made.
"""

from dataclasses import replace

import structlog

from longstop.model.append import new_delivery
from longstop.model.delivery import DeadReason, Delivery, State, Transition, Trigger, lane_of
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event
from longstop.model.ids import format_uuid7, id_ms
from longstop.model.listing import Page
from longstop.stores.redis.keys import wire
from longstop.stores.redis.packing import delivery_ids, pack, pack_delivery, to_delivery
from longstop.stores.redis.reading import RedisReading, bodiless, readable, tell_unreadable
from longstop.stores.redis.reply import pairs
from longstop.stores.redis.walk import Question, Range, RedisWalk, split_pair

NEAR_MS = 2_000
"""So far apart the ids of an event and of its deliveries are at most."""
NEAR_MAX = 10_000
"""Among so many events one is looked for."""
AT_ONCE = 100
_LISTS = {
    "leased": State.LEASED,
    "waiting": State.SCHEDULED,
    **{state.value: state for state in (State.DELIVERED, State.DEAD, State.DISCARDED)},
}
"""What is leased is in two of them: the first counts."""

log = structlog.get_logger("longstop.store")


class RedisParking(RedisReading, RedisWalk):
    """Parking."""

    async def _park(self, row: bytes, error: UnreadableRowError, now_ms: int) -> None:
        """Let a delivery be dead of its event."""
        delivery = readable(to_delivery, row, "a delivery that was leased")
        if delivery is None:
            return
        change = Transition(Trigger.PARK, now_ms, reason=DeadReason.MALFORMED)
        parked = replace(delivery.after(change), last_error=_trouble(error.trouble))
        await self.call("repair_deliveries", pack([(parked.id, row, pack_delivery(parked))]))
        _tell(parked)

    async def _park_unread(self, id_: str, now_ms: int) -> None:
        """Let a delivery be dead of its own row. Where its event is not found it stays among `unreadable`."""
        where, event = await self._where(id_), await self._event_near(id_)
        if where is None or event is None:
            tell_unreadable(f"delivery {id_}", "it is in no list, or its event is not found")
            return
        destination, state = where
        (attempts,) = await self.pipeline(("LLEN", f"{self._prefix}attempts:{id_}"))
        parked = replace(
            new_delivery(event, destination, id_, State.DEAD, await self._lane(id_, destination, event)),
            attempts=attempts,
            # More than there can have been leases: whoever holds an old one is refused.
            token=now_ms,
            reason=DeadReason.MALFORMED,
            last_error=_trouble("it is not there, or another program has written over it"),
            ended_at_ms=now_ms,
        )
        (done,) = await self.call("park_unread", id_, state.value, pack_delivery(parked))
        if done:
            _tell(parked)

    async def _take_back(self) -> None:
        """Put back into the queue what has been mended, and park what could not be parked yet."""
        for id_, dropped_at_ms in await self.call("take_back", AT_ONCE):
            await self._park_unread(id_.decode(), dropped_at_ms)

    async def _where(self, id_: str) -> tuple[str, State] | None:
        """Its destination and state, by the lists that it stands in."""
        _, destinations = await self._names()
        places = [(name, list_, state) for name in destinations for list_, state in _LISTS.items()]
        scores = await self.pipeline(
            *(("ZSCORE", wire(f"{self._prefix}deliveries:{list_}:{name}"), id_) for name, list_, _ in places)
        )
        found = zip(places, scores, strict=True)
        return next(((name, state) for (name, _, state), score in found if score is not None), None)

    async def _event_near(self, delivery_id: str) -> Event | None:
        """The event that names this delivery as its own."""
        at_ms = id_ms(delivery_id)
        sources, _ = await self._names()
        low, high = (format_uuid7(max(0, each), 0) for each in (at_ms - NEAR_MS, at_ms + NEAR_MS))
        near = Question(tuple(Range(f"events:source:{name}") for name in sources), low=low, high=high)
        ids = await self._next_ids(near, Page(NEAR_MAX, newest_first=False), NEAR_MAX) if sources else []
        for id_, head in zip(ids, await self._values("event", ids), strict=True):
            if head is not None and delivery_id in (readable(delivery_ids, head, id_) or ()):
                return readable(bodiless, head, id_)
        return None

    async def _lane(self, id_: str, destination: str, event: Event) -> str | None:
        """The lane that it stands in: its key's, or the one that it is the first of."""
        if event.key is not None:
            lane = lane_of(event.source, event.key)
            place = f"{len(wire(destination))}:{destination}{lane}"
            if (await self.pipeline(("ZSCORE", wire(f"{self._prefix}lane:{place}"), id_)))[0] is not None:
                return lane
        cursor: bytes | int = 0
        while True:
            ((cursor, found),) = await self.pipeline(("HSCAN", f"{self._prefix}fronts", cursor, "COUNT", 1_000))
            for name, first in pairs(found):
                if first.decode() == id_:
                    return split_pair(name.decode("utf-8", "surrogatepass"))[1]
            if int(cursor) == 0:
                return None


def _trouble(text: str) -> str:
    return f"the store's row cannot be read: {text}"


def _tell(parked: Delivery) -> None:
    log.error("delivery_unreadable", delivery_id=parked.id, event_id=parked.event_id, error=parked.last_error)
