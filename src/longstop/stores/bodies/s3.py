"""Bodies as objects in S3, which every machine sees that may.

`PREFIX/longstop-bodies` holds what the place is known by. Names begin with the last two characters of a body's name,
which are of a digest: S3 spreads what is asked for over its machines by how names begin.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence

from longstop.aws_api.client import Patience
from longstop.aws_api.s3 import Bucket, together
from longstop.model.errors import StoreUnavailableError
from longstop.model.s3_place import S3Place

MARK = "longstop-bodies"
OLD_MS = 3_600_000
"""What was put so long ago belongs to an event by now, or never will. By the service's own clock."""
LOOK_EVERY_S = 5.0
"""So long a look that went well is believed."""
PATIENCE = Patience(read_s=3, attempts=2)
"""A sender waits for it."""
_NAME = re.compile(r"[A-Za-z0-9-]{8,200}")
_SHARD_CHARS = 2


class S3Bodies:
    """See ports.Bodies. The bucket has to be there."""

    def __init__(self, place: S3Place) -> None:
        self.place = str(place)
        self._bucket = Bucket(place, PATIENCE, StoreUnavailableError)
        self._mark: str | None = None
        self._looked_s: float | None = None
        self._looking = asyncio.Lock()

    async def open(self) -> str:
        """See ports.Bodies."""
        found = await self._bucket.get(MARK)
        if found is None:
            # Of several who come at once, the first.
            await self._bucket.put_new(MARK, secrets.token_hex(16).encode())
            found = await self._bucket.get(MARK)
        if found is None:
            raise StoreUnavailableError(f"{self.place}: found no {MARK} where it was just put")
        self._mark = found.decode("ascii", "replace").strip()
        return self._mark

    async def close(self) -> None:
        """See ports.Bodies."""
        await self._bucket.close()

    async def look(self) -> None:
        """See ports.Bodies. Every LOOK_EVERY_S it is a call."""
        async with self._looking:
            now_s = asyncio.get_running_loop().time()
            if self._looked_s is None or now_s - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = None
                await self._look()
                self._looked_s = now_s

    async def put(self, bodies: Mapping[str, bytes]) -> None:
        """See ports.Bodies."""
        await together(self._put(name, body) for name, body in bodies.items())

    async def get(self, name: str) -> bytes | None:
        """See ports.Bodies."""
        found = await self._bucket.get(_key(name))
        if found is None:
            await self._look()
        return found

    async def delete(self, names: Sequence[str]) -> None:
        """See ports.Bodies."""
        await self._bucket.delete([_key(name) for name in names])

    async def old(self, after: str | None) -> tuple[Sequence[str], str | None]:
        """See ports.Bodies."""
        listing = await self._bucket.list(after=after)
        before_ms = listing.now_ms - OLD_MS
        names = [each.name.rpartition("/")[2] for each in listing.objects if each.modified_ms < before_ms]
        ours = {each.name for each in listing.objects}
        return [name for name in names if _NAME.fullmatch(name) and _key(name) in ours], listing.more_after

    async def _look(self) -> None:
        """Raise StoreUnavailableError where this is not the place that was opened."""
        found = await self._bucket.get(MARK)
        if found is None or found.decode("ascii", "replace").strip() != self._mark:
            raise StoreUnavailableError(
                f"{self.place}: found another {MARK} than before, or none; expected the place that was opened"
            )

    async def _put(self, name: str, body: bytes) -> None:
        key = _key(name)
        if await self._bucket.put_new(key, body):
            return
        # One that a broken-off call has left may be about to be swept: it counts as put now.
        listing = await self._bucket.list(key)
        if any(each.modified_ms < listing.now_ms - OLD_MS // 2 for each in listing.objects):
            await self._bucket.put(key, body)


def _key(name: str) -> str:
    return f"{name[-_SHARD_CHARS:]}/{name}"
