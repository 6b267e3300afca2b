"""Bodies that are too large for an item: they lie in a bucket, and the event's item says by what name.

A body is there before its event is kept, and goes when its event was forgotten; so are those of held requests. What is
left of a call that failed in between, `give_back` finds.
"""

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from longstop.model.append import Append
from longstop.model.errors import SchemaError, StoreUnavailableError, UnreadableRowError
from longstop.model.event import Event
from longstop.ports.bodies import Bodies
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.database import AwsDatabase
from longstop.stores.aws.packing import pack_event, to_event
from longstop.stores.aws.units import View

ID_CHARS = 36
DIGEST_CHARS = 32
"""Of a body's SHA-256, in hex."""
ITEM_BYTES_MAX = 400 * 2**10
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
ITEM_BODY_MAX = 350 * 2**10
"""Of an item, with all that belongs to it."""
SWEEP_EVERY_MS = 3_600_000
"""All bodies are gone through for such that belong to nothing, with a read for each."""
ITEM_KEYS_MAX = 6 * 2**10
"""What an event's item has beside its body and its row: its keys, and its places in indexes."""


class AwsLargeBodies(AwsDatabase):
    """Keeping them. bodies: the place; None: all are in the table."""

    _bodies: Bodies | None = None
    _bodies_over = ITEM_BODY_MAX

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
        large = {each.event.id: each.event.body for each in appends if self.is_large(each)}
        if large and self._bodies is None:
            size = len(next(iter(large.values())))
            raise StoreUnavailableError(
                f"a body of {size} bytes with its headers is more than an item holds; set bucket="
            )
        return await self.put_named(large)

    def is_large(self, append: Append) -> bool:
        """Whether its body goes to the bucket: it is large, or too large for one item together with its headers."""
        size = len(append.event.body)
        if size > self._bodies_over:
            return True
        if size <= ITEM_BODY_MAX // 4:
            # What is in front of a body has 32 KB, and six times that in JSON at worst.
            return False
        return (
            size + len(pack_event(append.event, [each.id for each in append.deliveries]))
            > ITEM_BYTES_MAX - ITEM_KEYS_MAX
        )

    async def put_named(self, bodies: Mapping[str, bytes], held: bool = False) -> dict[str, str]:
        """Put bodies, by the ids of what they belong to; of each by what name it is known.

        held: of requests that are held, which have the id that they have as an event, and another body then.
        """
        names = {id_: f"{id_}-{'held-' * held}{_digest(body)}" for id_, body in bodies.items()}
        if self._bodies is not None and names:
            await self._bodies.put({names[id_]: body for id_, body in bodies.items()})
        return names

    async def drop_bodies(self, names: Sequence[str]) -> None:
        """Of what is not kept. What cannot be deleted now, or not by this role, the sweep of bodies finds."""
        if self._bodies is not None and names:
            with contextlib.suppress(StoreUnavailableError):
                await self._bodies.delete(names)

    async def event_of(self, item: Item) -> Event:
        """The event of an item, with its body. Raises UnreadableRowError."""
        if "kept_in" not in item:
            body = item.get("body")
            if not isinstance(body, bytes):
                raise UnreadableRowError("an event", "its body is not there")
            return to_event(item, body)
        return to_event(item, await self.body_in(str(item["kept_in"])))

    async def body_in(self, name: str) -> bytes:
        """A body that lies in the bucket. Raises UnreadableRowError."""
        if self._bodies is None:
            raise StoreUnavailableError(f"the body {name} is in a bucket that store.url does not name: bucket=")
        found = await self._bodies.get(name)
        if found is None:
            raise UnreadableRowError("a body", f"{name} is not in {self._bodies.place}")
        if not name.endswith(_digest(found)):
            raise UnreadableRowError("a body", f"{name} in {self._bodies.place} is not what was put there")
        return found

    async def give_back(self) -> bool:
        """See ports.Retention. The service gives room back by itself; here it is bodies that belong to no event."""
        if self._bodies is None:
            return False
        kept = (await self.table.get([keys.SWEEP])).get(keys.SWEEP, {})
        began_ms, after = int(kept.get("began_ms", -SWEEP_EVERY_MS)), str(kept.get("after", "")) or None
        if after is None:
            if self._now_ms() - began_ms < SWEEP_EVERY_MS:
                return False
            began_ms = self._now_ms()
        names, after = await self._bodies.old(after)
        await self._bodies.delete(await self._strays(names))
        await self.units.run([_going_on(began_ms, after)])
        return after is not None

    async def _strays(self, names: Sequence[str]) -> list[str]:
        """Those of these bodies that belong to nothing that is kept."""
        kept = await self.table.get([keys.event(name[:ID_CHARS]) for name in names], without="body")
        known = {str(row.get("kept_in")) for row in kept.values()}
        others = [name for name in names if name not in known]
        held = await self.table.get([keys.held_apart(name) for name in others])
        return [name for name in others if keys.held_apart(name) not in held]


def _going_on(began_ms: int, after: str | None) -> Callable[[View[None]], Awaitable[None]]:
    """A unit: note how far the sweep is. Of two at a time the later one's word stands; some is gone through again."""

    async def unit(view: View[None]) -> None:
        await view.put({"pk": keys.SWEEP[0], "sk": keys.SWEEP[1], "began_ms": began_ms, "after": after or ""})

    return unit


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]
