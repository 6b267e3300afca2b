"""Bodies that are too large for memory: they lie elsewhere, and the event's head says so, with what they are known by.

A body is there before its event is kept, and goes when its event was forgotten. What is left of a call that failed in
between, `give_back` finds.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from longstop.model.append import Append
from longstop.model.errors import SchemaError, StoreUnavailableError, UnreadableRowError
from longstop.ports.bodies import Bodies
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.packing import pack, where_body_lies

DIGEST_CHARS = 32
"""Of a body's SHA-256, in hex."""


class LargeBodies(RedisDatabase):
    """Keeping them. bodies: the place; None: all are in memory. bodies_over: larger ones are not, in bytes."""

    _bodies: Bodies | None = None
    _bodies_over = 0
    _swept: str | None = None

    def keep_apart(self, bodies: Bodies, over: int) -> None:
        """From now on, before the store is opened."""
        self._bodies = bodies
        self._bodies_over = over

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
        key = (f"{self._prefix}marks", "bodies")
        (known,) = await self.pipeline(("HGET", *key))
        if self._bodies is None:
            if known is not None:
                raise SchemaError(
                    "this store keeps large bodies elsewhere: found store.url without bodies=; expected that of before"
                )
            return
        here = await self._bodies.open()
        if known is None:
            await self.pipeline(("HSETNX", *key, here))
            (known,) = await self.pipeline(("HGET", *key))
        if known.decode() != here:
            raise SchemaError(
                f"{self._bodies.place} is not where this store's large bodies are; expected the place that was used"
                f" before, which every machine has to see (its longstop-bodies says {known.decode()})"
            )

    async def _put_bodies(self, appends: Iterable[Append]) -> dict[str, str]:
        """Put the large ones where they belong; of each event's id by what its body is known."""
        if self._bodies is None:
            return {}
        large = [each.event for each in appends if len(each.event.body) > self._bodies_over]
        names = {event.id: _name(event.id, event.body) for event in large}
        await self._bodies.put({names[event.id]: event.body for event in large})
        return names

    async def _drop_bodies(self, names: Sequence[str]) -> None:
        """Of events that are not kept."""
        if self._bodies is not None and names:
            await self._bodies.delete(names)

    async def _look_for_bodies(self) -> None:
        """Raise StoreUnavailableError where they cannot be had: a lease without its body would be a lost try."""
        if self._bodies is not None:
            await self._bodies.look()

    async def _body(self, head: bytes | None, body: bytes | None) -> bytes | None:
        """An event's body, where `body` is what the server has of it. Raises UnreadableRowError."""
        name = None if head is None or body is not None else _place_of(head)
        if name is None:
            return body
        if self._bodies is None:
            raise StoreUnavailableError(f"the body {name} is in a place that store.url does not name: bodies=")
        found = await self._bodies.get(name)
        if found is None:
            raise UnreadableRowError("a body", f"{name} is not in {self._bodies.place}")
        if not name.endswith(_digest(found)):
            raise UnreadableRowError("a body", f"{name} in {self._bodies.place} is not what was put there")
        return found

    async def give_back(self) -> bool:
        """See ports.Retention. Redis gives memory back by itself; here it is bodies that belong to no event."""
        if self._bodies is None:
            return False
        names, self._swept = await self._bodies.old(self._swept)
        kept = await self.ask("bodies_apart", pack(names)) if names else []
        strays = [name for name, is_kept in zip(names, kept, strict=True) if not is_kept]
        await self._bodies.delete(strays)
        return self._swept is not None


def _place_of(head: bytes) -> str | None:
    try:
        return where_body_lies(head)
    except (ValueError, TypeError, msgspec.MsgspecError):
        # A head that cannot be read: whoever makes an event of it says so.
        return None


def _name(event_id: str, body: bytes) -> str:
    return f"{event_id}-{_digest(body)}"


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]
