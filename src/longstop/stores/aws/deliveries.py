"""What a delivery is in the table, and the one place that changes one: its row, its place in line, the counters.

One that is scheduled or leased lies in a shard, whose local index says whose turn it is. One that has ended lies by
itself. One that stands in a lane has a row there too, and the lane's head says which of it is in line: the first, where
none is leased. Whoever changes a lane writes its head, so that two never do at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longstop.model.delivery import Delivery, State
from longstop.model.errors import UnreadableRowError
from longstop.stores.aws import dead_groups
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.packing import pack_delivery, to_delivery, to_event
from longstop.stores.aws.table import Keys, number
from longstop.stores.aws.units import LaterError, View
from longstop.stores.aws.unreadable import read, remade

LIVE = frozenset({State.SCHEDULED, State.LEASED})
IN_LANE = frozenset({State.SCHEDULED, State.LEASED, State.DEAD})
_FIRST_ID = "0"
"""A lane's ids are behind this, and its head is before."""


class Deliveries:
    """Reads and changes deliveries."""

    def __init__(self, shards: Keys) -> None:
        self._keys = shards
        self.seats: Mapping[str, int] = {}
        """Destination to how many attempts may be under way in all processes together, where that is to hold."""

    def keys(self, delivery_id: str) -> tuple[Key, Key]:
        """Where it lies: while it waits, and when it has ended."""
        return self._keys.live(delivery_id), keys.ended(delivery_id)

    async def get(self, view: View[Any], delivery_id: str) -> Delivery | None:
        """A delivery as it stands; one whose row cannot be read as far as can be told."""
        for key in self.keys(delivery_id):
            item = await view.get(key)
            if item is not None:
                return await self.read(view, item)
        if not view.again:
            # It may have gone from one place to the other between the two looks.
            raise LaterError
        return None

    async def read(self, view: View[Any], item: Item) -> Delivery:
        """The delivery of an item, made anew where its row cannot be read."""
        try:
            return to_delivery(item)
        except UnreadableRowError:
            head = await view.head(keys.event(str(item.get("event", ""))))
            event = None if head is None else read(head, lambda row: to_event(row, b""))
            made = remade(item, event, 0)
            rows = await view.query(f"A#{made.id}", "a#")
            numbers = [int(str(row["sk"])[2:]) for row in rows if str(row["sk"]).startswith("a#")]
            return replace(made, attempts=max(numbers, default=0))

    async def change(self, view: View[Any], old: Delivery | None, new: Delivery) -> None:
        """Put `new` in the place of `old`; None: it is a new one, whose event is written with it."""
        count(view, old, -1)
        count(view, new, 1)
        # While the row that says its group is there.
        group = await dead_groups.change(view, old, new)
        was_live, is_live = old is not None and old.state in LIVE, new.state in LIVE
        seat = await self._change_seats(view, old, new)
        if old is not None and was_live != is_live:
            await view.drop(self._keys.live(old.id) if was_live else keys.ended(old.id))
        free = await self._change_lanes(view, old, new)
        listed = new.lane is None or free
        item = self.live(new, listed) if is_live else self.ended(new, group)
        if listed and new.state is State.SCHEDULED:
            view.lined_up.append(new)
        item |= seat
        if old is None:
            view.put_beside(item)
        elif was_live != is_live and not view.again:
            # There is none where it goes to, which the transaction checks.
            view.put_new(item)
        else:
            await view.put(item)

    async def rewrite(self, view: View[Any], new: Delivery) -> None:
        """Write what changes neither where it lies nor its place in line."""
        for key in self.keys(new.id):
            item = await view.get(key)
            if item is not None:
                await view.put(item | {"row": pack_delivery(new)})

    async def forget(self, view: View[Any], old: Delivery) -> None:
        """Let go of a delivery that has ended, and of what is in its lane's row."""
        count(view, old, -1)
        await dead_groups.change(view, old, None)
        await view.drop(keys.ended(old.id))

    # -- rows ---------------------------------------------------------------------------------

    def live(self, delivery: Delivery, listed: bool) -> Item:
        """The row of one that is scheduled or leased. listed: it stands in line."""
        partition, order = self._keys.live(delivery.id)
        to, id_ = delivery.destination, delivery.id
        item: Item = {"pk": partition, "sk": order, "id": id_, "row": pack_delivery(delivery), **_of(delivery)}
        item["of_all"] = f"L#waiting#{to}#{self._keys.shard_of(id_)}"
        if delivery.state is State.LEASED:
            return item | {"turn": f"{leased_until(delivery.lease_until_ms or 0)}#{id_}"}
        if not listed:
            return item | {"of_group": f"H#{to}#{self._keys.shard_of(id_)}", "at": number(delivery.due_at_ms)}
        due = f"{number(delivery.due_at_ms)}#{id_}"
        item["turn"] = f"{to}#{'t' if delivery.attempts else 'u'}#{due}"
        if delivery.attempts:
            item["tries"] = f"{to}#{number(delivery.tries)}#{due}"
        if delivery.expires_at_ms is not None:
            item["expires"] = f"{to}#{number(delivery.expires_at_ms)}#{id_}"
        return item

    def ended(self, delivery: Delivery, group: str | None) -> Item:
        """The row of one that has ended. group: of one that is dead."""
        partition, order = keys.ended(delivery.id)
        shard, id_ = self._keys.shard_of(delivery.id), delivery.id
        item: Item = {"pk": partition, "sk": order, "id": id_, "row": pack_delivery(delivery), **_of(delivery)}
        item["of_all"] = f"L#{delivery.state}#{delivery.destination}#{shard}"
        item["of_end"] = f"X#{delivery.state}#{shard}"
        item["at"] = f"{number(delivery.ended_at_ms or 0)}#{id_}"
        if group is not None:
            item["group"], item["of_group"] = group, f"G#{group}#{shard}"
            item["of_source"] = f"D#{delivery.source}#{shard}"
            if delivery.type is not None:
                item["of_type"] = f"D#{keys.short(delivery.type)}#{shard}"
            if delivery.key is not None:
                item["of_key"] = f"D#{keys.short(delivery.key)}"
        return item

    # -- seats --------------------------------------------------------------------------------

    async def has_seat(self, view: View[Any], destination: str) -> bool:
        """Whether one more may be leased."""
        if destination not in self.seats:
            return True
        return await self._seats_taken(view, destination) < self.seats[destination]

    async def _seats_taken(self, view: View[Any], destination: str) -> int:
        row = await view.get(keys.seats(destination))
        return 0 if row is None else int(row["n"])

    async def seat(self, view: View[Any], delivery_id: str) -> Item:
        """What the item of one that holds a seat says of it: whoever ends the lease gives the seat back, though he does
        not count any himself."""
        item = await view.get(self._keys.live(delivery_id))
        return {"seat": 1} if item is not None and "seat" in item else {}

    async def _change_seats(self, view: View[Any], old: Delivery | None, new: Delivery) -> Item:
        """Take a seat, or give it back; what the new one's item says of it."""
        was = old is not None and old.state is State.LEASED
        held: Item = await self.seat(view, new.id) if was else {}
        is_leased = new.state is State.LEASED
        takes = is_leased and not was and new.destination in self.seats
        if takes or (held and not is_leased):
            taken = await self._seats_taken(view, new.destination) + (1 if takes else -1)
            partition, order = keys.seats(new.destination)
            await view.put({"pk": partition, "sk": order, "n": max(0, taken)})
        return {"seat": 1} if takes else held if is_leased else {}

    # -- lanes --------------------------------------------------------------------------------

    async def _change_lanes(self, view: View[Any], old: Delivery | None, new: Delivery) -> bool:
        """Whether the new one stands in line, as far as its lane decides that."""
        left, joined = _lane(old), _lane(new)
        if left is not None and left != joined:
            await view.drop((left, new.id))
            await self._advance(view, left, new, stays=False)
        if joined is None:
            return False
        row: Item = {"pk": joined, "sk": new.id, "state": str(new.state)}
        if old is None:
            view.put_beside(row)
        else:
            await view.put(row)
        return await self._advance(view, joined, new, stays=True)

    async def _advance(self, view: View[Any], lane: str, new: Delivery, stays: bool) -> bool:
        """Let the first of a lane stand in line where none is leased; whether that is the new one."""
        head = await view.get((lane, keys.LANE_HEAD))
        free = "" if head is None else str(head["free"])
        leased = "" if head is None else str(head["leased"])
        leased = new.id if stays and new.state is State.LEASED else "" if leased == new.id else leased
        first = await self._first(view, lane, head, new, stays)
        now_free = first[0] if first is not None and first[1] == State.SCHEDULED and not leased else ""
        for id_, listed in ((free, False), (now_free, True)):
            if free != now_free and id_ not in ("", new.id):
                await self._relist(view, id_, listed)
        if first is None:
            await view.drop((lane, keys.LANE_HEAD))
        else:
            said = {"free": now_free, "leased": leased, "first": first[0], "last": _last(head, new, stays)}
            await view.put({"pk": lane, "sk": keys.LANE_HEAD, **said})
        return now_free == new.id

    async def _first(
        self, view: View[Any], lane: str, head: Item | None, new: Delivery, stays: bool
    ) -> tuple[str, str] | None:
        """The id and the state of the first of the lane, with the new one in it if it stays.

        As the lane's rows have them: who changes one writes the lane's head, so two never do at once.
        """
        if head is None or (stays and new.id <= str(head["first"])):
            return (new.id, new.state) if stays else None
        if str(head["first"]) != new.id:
            row = await view.get((lane, str(head["first"])))
            return None if row is None else (str(row["sk"]), str(row["state"]))
        if head.get("last") == new.id:
            # Nobody has joined behind it.
            return None
        rows = await view.query(lane, _FIRST_ID, limit=2)
        return next(((str(row["sk"]), str(row["state"])) for row in rows if row["sk"] != new.id), None)

    async def _relist(self, view: View[Any], delivery_id: str, listed: bool) -> None:
        item = await view.get(self._keys.live(delivery_id))
        delivery = None if item is None else await self.read(view, item)
        if item is not None and delivery is not None and delivery.state is State.SCHEDULED:
            # A row that cannot be read stays as it is: who leases it parks it.
            await view.put(self.live(delivery, listed) | {"row": item.get("row", b"")})
            if listed:
                view.lined_up.append(delivery)


def _last(head: Item | None, new: Delivery, stays: bool) -> str:
    """The highest id that was ever in a lane while it had a head."""
    last = "" if head is None else str(head.get("last", ""))
    return max(last, new.id) if stays else last


def _of(delivery: Delivery) -> Item:
    """What an item says beside the row, so that something is left where that cannot be read."""
    made: Item = {"event": delivery.event_id}
    return made if delivery.lane is None else made | {"lane": delivery.lane}


def _lane(delivery: Delivery | None) -> str | None:
    if delivery is None or delivery.lane is None or delivery.state not in IN_LANE:
        return None
    return keys.lane(delivery.destination, delivery.lane)


def lane_head(delivery: Delivery) -> Key:
    """The head of a delivery's lane."""
    return keys.lane(delivery.destination, str(delivery.lane)), keys.LANE_HEAD


def lane_keys(destination: str, lane: str, delivery_id: str) -> tuple[Key, Key]:
    """What is written of a lane when one of it changes: its row there, and the head."""
    partition = keys.lane(destination, lane)
    return (partition, delivery_id), (partition, keys.LANE_HEAD)


def count(view: View[Any], delivery: Delivery | None, amount: int) -> None:
    """Add to the counter of a delivery's destination and state."""
    if delivery is not None:
        view.count((keys.COUNTERS, f"d#{delivery.destination}"), str(delivery.state), amount)


def leased_until(at_ms: int) -> str:
    """What is leased stands behind all destinations in line, by when its lease runs out."""
    return f"~#{number(at_ms)}"
