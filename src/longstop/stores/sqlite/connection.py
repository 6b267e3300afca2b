"""Connections and the threads they live in: one writer, one reader.

All writing goes through one thread, so that SQLite's single write lock is never fought over within the
process, and every call is one transaction that is on disk when the call returns. Listings read on a
thread of their own: a long search does not hold up an append.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from longstop.model.errors import SchemaError, StoreUnavailableError, UnreadableRowError
from longstop.stores.sqlite import ledger_schema, schema
from longstop.stores.sqlite.file_guard import FileGuard, FileMovedError, OpenFiles, create_private, make_private

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]

BUSY_TIMEOUT_MS = 2_500
"""How long to wait for another process's write lock: short of the 4 s in which a sender gets its answer."""

WAL_TRIES = 10

_STATEMENTS_KEPT = 512
"""Room for an insert of each number of rows into each table."""

PAGE_BYTES = 8192
"""Of a new file. Events of a kilobyte or two fit better than into 4096: half as many writes, a sixth less disk."""

PRAGMAS = (
    # FULL syncs the log at every commit. NORMAL would not, and a power cut would take acknowledged events.
    "PRAGMA synchronous = FULL",
    # Where fsync alone does not reach the disk (macOS), ask for the stronger call.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA cache_size = -32768",
    # Statements of many rows keep an undo log of their own; in a file it cost more than the commit.
    "PRAGMA temp_store = MEMORY",
    # Only where nobody does it in time (`checkpoints`) does a commit move the log into the database: at 80 MiB.
    "PRAGMA wal_autocheckpoint = 10000",
)


def connect(path: str, create: bool = True, application_id: int = schema.APPLICATION_ID) -> apsw.Connection:
    """A connection with the durability settings. Raises SchemaError where the file is not ours; it is left alone.

    create: make the file where there is none. application_id: what says that a file is ours.
    """
    if create:
        create_private(path)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(path, flags, statementcachesize=_STATEMENTS_KEPT)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        schema.refuse_foreign(connection, path, application_id)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        if connection.execute("PRAGMA page_count").get == 0:
            # What is forgotten can be given back to the disk, a little at a time. Said of a file that is not new, this
            # is written into it every time.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _use_wal(connection)
        for pragma in PRAGMAS:
            connection.execute(pragma)
        ledger_schema.define_functions(connection)
    except BaseException:
        connection.close(True)
        raise
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    for _ in range(WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            # Another process is switching the new file too. SQLite does not wait for that; for its write lock it does.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        else:
            return
    raise apsw.BusyError("the log could not be set up")


class ConnectionThread:
    """One thread with one connection, which is opened when it is first needed and reopened after a failure.

    `threaded=False` runs everything in the caller's thread: simulations on a virtual clock need that.
    `setup`: what is done with each new connection. `moved`: called in the event loop when the file was lost.
    `application_id`: what says that a file is ours. `prepare`: what brings it to its newest schema, or raises
    SchemaError: also said of a file that was put in the place of one that was lost.
    """

    def __init__(
        self,
        path: str,
        name: str,
        guard: FileGuard,
        *,
        threaded: bool = True,
        setup: Callable[[apsw.Connection], None] = lambda _: None,
        moved: Callable[[], None] = lambda: None,
        application_id: int = schema.APPLICATION_ID,
        prepare: Callable[[apsw.Connection, str], None] = schema.prepare,
    ) -> None:
        self._path = path
        self._application_id = application_id
        self._prepare = prepare
        self._guard = guard
        self._moved = moved
        self._files: OpenFiles | None = None
        self._setup = setup
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name) if threaded else None
        self._connection: apsw.Connection | None = None
        self._suspect = False
        """A sync failed: nothing in the log may be trusted until it was moved into the database and synced."""

    async def call(self, work: Work[T]) -> T:
        """Run `work`, without a transaction around it. Raises StoreUnavailableError where the file cannot do it now."""
        return await self._work(work)

    async def transact(self, work: Work[T]) -> T:
        """Run `work` in one transaction; committed and synced on return, or nothing of it happened.

        Raises StoreUnavailableError where the file cannot do it now.
        """
        return await self._work(lambda connection: in_transaction(connection, work))

    async def view(self, work: Work[T]) -> T:
        """Run `work`, which only reads and sees one state of the file in all of its statements."""
        return await self._work(lambda connection: _in_one_view(connection, work))

    async def disconnect(self) -> None:
        """Finish what was begun and close the connection; it is opened again when it is needed."""
        await self._run(self._disconnect)

    async def close(self) -> None:
        """Disconnect and end the thread."""
        await self.disconnect()
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    async def _work(self, work: Work[T]) -> T:
        try:
            return await self._run(lambda: self._guarded(work))
        except FileMovedError:
            self._moved()
            raise

    def _run(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        if self._executor is None:
            done: asyncio.Future[T] = loop.create_future()
            done.set_result(call())
            return done
        return loop.run_in_executor(self._executor, call)

    def _guarded(self, work: Work[T]) -> T:
        try:
            result = work(self._connected())
        except apsw.Error as error:
            # What SQLite says of a file that is no longer there may be anything.
            self._expect_unmoved()
            if isinstance(error, (apsw.IOError, apsw.CorruptError, apsw.CantOpenError)):
                # After a failed sync the kernel may hold pages it will never write and report as clean.
                # To sync again and call it durable would be a lie, so the connection is given up.
                self._suspect = True
                self._disconnect()
            raise StoreUnavailableError(f"{self._path}: {type(error).__name__}: {error}") from error
        except (UnreadableRowError, UnicodeDecodeError) as error:
            # The cursor that stands at the row is in the frames, and holds a view of the file for as long as it lives.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, UnreadableRowError):
                raise
            # SQLite keeps what it is given; by itself nothing here writes text that is none.
            raise UnreadableRowError(f"{self._path}: a row", str(error)) from error
        # Behind the work: what went into a file without a name is acknowledged to nobody.
        self._expect_unmoved()
        return result

    def _expect_unmoved(self) -> None:
        """Raise FileMovedError where the files that are open are not those that the path names."""
        if self._files is not None and (trouble := self._files.trouble()) is not None:
            raise self._guard.lose(trouble)

    def _connected(self) -> apsw.Connection:
        if self._guard.lost:
            self._disconnect()
        if self._connection is None:
            self._guard.about_to_open()
            connection = self._connect()
            try:
                if self._suspect:
                    _rewrite_log(connection, self._path)
                    self._suspect = False
                self._setup(connection)
                self._files = OpenFiles(connection, self._path)
            except BaseException:
                connection.close(True)
                raise
            self._guard.opened()
            self._connection = connection
        return self._connection

    def _connect(self) -> apsw.Connection:
        if not self._guard.lost:
            connection = connect(self._path, self._guard.may_create, self._application_id)
            if self._guard.may_create:
                make_private(self._path)
            return connection
        try:
            connection = connect(self._path, create=False, application_id=self._application_id)
            self._prepare(connection, self._path)
        except SchemaError as error:
            raise FileMovedError(str(error)) from None
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        files, self._files = self._files, None
        if connection is None:
            return
        if files is not None and not files.keeps_log():
            # Closing moves the log into the database and deletes what the path names: by now that may be another's.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # The last one to close moves the log into the database; where the disk fails, the next to open will.
        with contextlib.suppress(apsw.Error):
            connection.close(True)
        self._guard.closed()


def in_transaction(connection: apsw.Connection, work: Work[T]) -> T:
    """Run `work` and commit, or nothing of it happened."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself (disk full, I/O error).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def in_unsynced_transaction(connection: apsw.Connection, work: Work[T]) -> T:
    """The same, but nobody waits for the disk: the next transaction that is synced takes this one along.

    A power cut before that undoes it, and nothing else: in a write-ahead log what comes later is behind it.
    """
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        return in_transaction(connection, work)
    finally:
        connection.execute("PRAGMA synchronous = FULL")


def _in_one_view(connection: apsw.Connection, work: Work[T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _rewrite_log(connection: apsw.Connection, path: str) -> None:
    """Move all of the log into the database file and sync that, so that no commit rests on pages whose sync failed."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    if busy:
        connection.close(True)
        raise StoreUnavailableError(f"{path}: a sync failed earlier, and the log is still in use by another process")
