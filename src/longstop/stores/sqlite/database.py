"""The file with its connections: a thread that writes, those that read, and the watch for other processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import apsw

from longstop.model.errors import StoreUnavailableError
from longstop.stores.sqlite import (
    append_rows,
    retention,
    schema,
)
from longstop.stores.sqlite.checkpoints import Checkpoints
from longstop.stores.sqlite.connection import ConnectionThread, T, Work, in_unsynced_transaction
from longstop.stores.sqlite.file_guard import FileGuard


class Database:
    """One SQLite file. Several processes may open it at once. The parts of the store inherit it.

    watch_s: how often to look whether another process has written; None: never (one process only).
    threaded=False runs every statement in the event loop's own thread, for simulations.
    """

    def __init__(self, path: str | Path, *, watch_s: float | None = 0.02, threaded: bool = True) -> None:
        self._path = str(path)
        self._guard = FileGuard(self._path)
        self._threads: list[ConnectionThread] = []
        self._closing: set[asyncio.Future[None]] = set()
        self._writer = self._thread("writer", threaded, self._prepare)
        self._reader = self._thread("reader", threaded)
        # Searches have a thread of their own: what looks for expired leases, or counts, does not wait for them.
        self._searcher = self._thread("searcher", threaded)
        self._checkpoints = Checkpoints(self._thread("checkpoint", True), self._writer) if threaded else None
        self._watch_s = watch_s
        self._watch: asyncio.TimerHandle | None = None
        self._seen_version = 0
        self._wakes: list[Callable[[], None]] = []
        self._open = False

    def _prepare(self, connection: apsw.Connection) -> None:
        schema.prepare(connection, self._path)
        connection.execute(append_rows.SETUP)
        connection.execute(retention.SETUP)

    def _thread(
        self, name: str, threaded: bool, setup: Callable[[apsw.Connection], None] = lambda _: None
    ) -> ConnectionThread:
        made = ConnectionThread(
            self._path, f"longstop-{name}", self._guard, threaded=threaded, setup=setup, moved=self._let_go
        )
        self._threads.append(made)
        return made

    async def open(self) -> None:
        """Open or create the file and bring it to the newest schema."""
        try:
            # From here on: what this store finds when it opens is no arrival.
            self._seen_version = await self._writer.call(_data_version)
        except BaseException:
            await self._writer.disconnect()
            raise
        self._guard.may_create = False
        self._open = True

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if not self._open:
            return
        self._open = False
        if self._watch is not None:
            self._watch.cancel()
        if self._closing:
            await asyncio.wait(self._closing)
        if self._checkpoints is not None:
            await self._checkpoints.close()
        await self._searcher.close()
        await self._reader.close()
        await self._writer.close()

    def ready(self) -> bool:
        """See ports.Store. False while the file is not the one that the path names."""
        return self._open and not self._guard.lost

    def _let_go(self) -> None:
        """The file was lost: every connection is closed, so that all of them begin anew on what is there."""
        if self._closing or not self._guard.lost:
            return
        for thread in self._threads:
            closing = asyncio.ensure_future(thread.disconnect())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    commits_at_once = 1
    """One thread writes."""

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)
        if self._watch is None and self._watch_s is not None:
            self._watch_later()

    # -- writing ------------------------------------------------------------------------------

    async def _transact(self, work: Work[T]) -> T:
        result = await self._writer.transact(work)
        self._written()
        return result

    async def _transact_unsynced(self, work: Work[T]) -> T:
        """For what may be undone by a power cut, because it is found and done again: no sync is waited for."""
        result = await self._writer.call(lambda connection: in_unsynced_transaction(connection, work))
        self._written()
        return result

    def _written(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.dirty()

    # -- waking -------------------------------------------------------------------------------

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    def _watch_later(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._watch_s is not None
        self._watch = loop.call_later(self._watch_s, lambda: loop.create_task(self._look()))

    async def _look(self) -> None:
        """Wake the waiting when another process has committed.

        The version that the writer's connection sees moves with everybody's commits but its own.
        """
        if not self._open:
            return
        try:
            version = await self._writer.call(_data_version)
        except StoreUnavailableError:
            version = self._seen_version
        if not self._open:
            return
        if version != self._seen_version:
            self._seen_version = version
            self._wake()
        self._watch_later()


def _data_version(connection: apsw.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").get)
