"""What the tests of the spool share: a store behind a switch, and a spool in front of it, on the virtual clock."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from longstop.model.append import Append
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Receipt
from longstop.model.listing import EventFilter, Page
from longstop.model.spool import SpoolSettings
from longstop.stores.memory import MemoryStore
from longstop.stores.spool import SpooledStore, SpoolFile, spooled
from longstop.testing.clock import VirtualClock
from longstop.testing.tasks import end_tasks


class Switched:
    """A store that can be away, hang, be slow, or lose its answers."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.mode = "works"
        self.slow_s = 0.0
        self.raises_others = False
        self.back = asyncio.Event()
        self.batches: list[list[str]] = []
        """The ids of every append that it carried out."""

    def away(self) -> None:
        self.mode = "away"

    def works(self) -> None:
        self.mode = "works"
        self.slow_s = 0.0
        self.back.set()

    def ready(self) -> bool:
        return self.mode == "works"

    commits_at_once = 1

    def on_arrival(self, wake: Callable[[], None]) -> None:
        self.store.on_arrival(wake)

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        receipts: Sequence[Receipt] = await self._do("append", appends)
        self.batches.append([each.event.id for each in appends])
        return receipts

    async def _do(self, name: str, *given: Any) -> Any:
        if self.mode == "away":
            raise StoreUnavailableError("connection refused")
        if self.mode == "hangs":
            await self.back.wait()
        await asyncio.sleep(self.slow_s)
        try:
            done = await getattr(self.store, name)(*given)
        except ValueError as error:
            if not self.raises_others:
                # As SQLite's store: an id that is taken is one of many things that a statement may fail for.
                raise StoreUnavailableError(str(error)) from error
            raise
        if self.mode == "loses answers" and name == "append":
            raise StoreUnavailableError("connection reset")
        return done

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            return await self._do(name, *given)

        return call


class World:
    """A gateway's store with its spool; `restart` is a kill and a new start on the same files."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = replace(SpoolSettings(str(folder / "spool.db")), **settings)
        self.memory = MemoryStore()
        self.far = Switched(self.memory)
        self.free_bytes = 10**12
        self.store = self._made()
        self._task: asyncio.Task[None] | None = None

    def _made(self) -> SpooledStore:
        self.file = SpoolFile(self.settings, lambda: self.free_bytes, threaded=False)
        far: Any = self.far
        return spooled(far, self.file, self.settings, VirtualClock())

    async def __aenter__(self) -> "World":
        await self.store.open()
        self._task = asyncio.create_task(self.store.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])
        # What a kill takes with it: memory, and the lock. Nothing is finished.
        await self.file.close()

    async def restart(self) -> None:
        await self.kill()
        self.store = self._made()
        await self.__aenter__()

    async def drained(self) -> None:
        """Returns when the spool is not in use any more."""
        while self.store.facts().in_use:
            await asyncio.sleep(0.1)

    async def kept(self) -> list[str]:
        """The ids of all events in the store, in the order in which they came into it."""
        rows = (await self.memory.find_events(EventFilter(), Page(100_000, newest_first=False))).rows
        there = {each.event.id for each in rows}
        in_order = list(dict.fromkeys(id_ for batch in self.far.batches for id_ in batch))
        return [id_ for id_ in in_order if id_ in there] + sorted(there - set(in_order))
