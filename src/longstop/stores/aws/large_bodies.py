"""Bodies that are too large for an item: they lie in a bucket, and the event's item says by what name.

A body is there before its event is kept, and goes when its event was forgotten. What is left of a call that failed in
between, `give_back` finds.
"""

import hashlib
from collections.abc import Iterable, Sequence

from longstop.model.append import Append
from longstop.model.errors import SchemaError, StoreUnavailableError, UnreadableRowError
from longstop.model.event import Event
from longstop.ports.bodies import Bodies
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.database import AwsDatabase
from longstop.stores.aws.packing import to_event
from longstop.stores.aws.units import View

ID_CHARS = 36
DIGEST_CHARS = 32
"""Of a body's SHA-256, in hex."""
ITEM_BODY_MAX = 350 * 2**10
"""An item holds 400 KB, with all that belongs to it.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""


class AwsLargeBodies(AwsDatabase):
    """Keeping them. bodies: the place; None: all are in the table."""

    _bodies: Bodies | None = None
    _bodies_over = ITEM_BODY_MAX
    _swept: str | None = None

    def keep_apart(self, bodies: Bodies, over: int) -> None:
        """From now on, before the store is opened, larger ones than this, in bytes."""
        self._bodies = bodies
        self._bodies_over = min(over, ITEM_BODY_MAX)

    async def open(self) -> None:
        """See ports.Store. Raises SchemaError where the bodies of this store are in another place."""
        await super().open()
        try:
            await self._find_place()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See ports.Store."""
        await super().close()
        if self._bodies is not None:
            await self._bodies.close()

    async def _find_place(self) -> None:
        here = None if self._bodies is None else await self._bodies.open()

        async def unit(view: View[str | None]) -> str | None:
            kept = await view.get(keys.STORE) or {"pk": keys.STORE[0], "sk": keys.STORE[1]}
            if "bodies" not in kept and here is not None:
                kept = kept | {"bodies": here}
                await view.put(kept)
            return str(kept["bodies"]) if "bodies" in kept else None

        (known,) = await self.units.run([unit])
        if known is not None and here is None:
            raise SchemaError("this store keeps large bodies in a bucket: found store.url without bucket=; expected it")
        if known != here:
            place = "" if self._bodies is None else self._bodies.place
            raise SchemaError(f"{place} is not where this store's large bodies are; expected the bucket used before")

    async def put_bodies(self, appends: Iterable[Append]) -> dict[str, str]:
        """Put the large ones where they belong; of each event's id by what its body is known.

        Raises StoreUnavailableError where one is too large and there is no such place.
        """
        large = [each.event for each in appends if len(each.event.body) > self._bodies_over]
        if not large:
            return {}
        if self._bodies is None:
            raise StoreUnavailableError(f"a body of {len(large[0].body)} bytes is more than an item holds; set bucket=")
        names = {event.id: _name(event.id, event.body) for event in large}
        await self._bodies.put({names[event.id]: event.body for event in large})
        return names

    async def drop_bodies(self, names: Sequence[str]) -> None:
        """Of events that are not kept."""
        if self._bodies is not None and names:
            await self._bodies.delete(names)

    async def event_of(self, item: Item) -> Event:
        """The event of an item, with its body. Raises UnreadableRowError."""
        if "kept_in" not in item:
            body = item.get("body")
            if not isinstance(body, bytes):
                raise UnreadableRowError("an event", "its body is not there")
            return to_event(item, body)
        name = str(item["kept_in"])
        if self._bodies is None:
            raise StoreUnavailableError(f"the body {name} is in a bucket that store.url does not name: bucket=")
        found = await self._bodies.get(name)
        if found is None:
            raise UnreadableRowError("a body", f"{name} is not in {self._bodies.place}")
        if not name.endswith(_digest(found)):
            raise UnreadableRowError("a body", f"{name} in {self._bodies.place} is not what was put there")
        return to_event(item, found)

    async def give_back(self) -> bool:
        """See ports.Retention. The service gives room back by itself; here it is bodies that belong to no event."""
        if self._bodies is None:
            return False
        names, self._swept = await self._bodies.old(self._swept)
        kept = await self.table.get([keys.event(name[:ID_CHARS]) for name in names], without="body")
        known = {str(row.get("kept_in")) for row in kept.values()}
        await self._bodies.delete([name for name in names if name not in known])
        return self._swept is not None


def _name(event_id: str, body: bytes) -> str:
    return f"{event_id}-{_digest(body)}"


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]
