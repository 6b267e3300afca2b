"""The spool's own file: an SQLite database of one table, synced at every commit, and of one process at a time."""

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import structlog

from longstop.model.append import Append
from longstop.model.dedup import dedup_digest
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.spool import SpoolFacts, SpoolSettings
from longstop.stores.spool.rows import packed, size, unpacked
from longstop.stores.sqlite.connection import ConnectionThread, in_unsynced_transaction
from longstop.stores.sqlite.file_guard import FileGuard

log = structlog.get_logger("longstop.store.spool")

APPLICATION_ID = 0x4C535350
"""`LSSP`: no store takes the file for one of its own."""
VERSION = 1
PRIVATE = 0o600
_SCHEMA = """
    CREATE TABLE spooled (
        seq INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        received_at_ms INTEGER NOT NULL,
        -- See model.dedup; NULL without a key.
        digest BLOB,
        until_ms INTEGER NOT NULL,
        size INTEGER NOT NULL,
        -- Why the store refuses it; NULL: nobody has asked, or it was not there.
        stuck TEXT,
        item BLOB NOT NULL
    );
    CREATE INDEX spooled_digest ON spooled (digest) WHERE digest IS NOT NULL;
    -- What is asked of all rows is in here, without their bodies.
    CREATE INDEX spooled_stands ON spooled (stuck, size);
"""
_KNOWN = "SELECT 1 FROM spooled WHERE event_id = ?"
_FIRST_OF_KEY = "SELECT event_id FROM spooled WHERE digest = ? AND until_ms > ? ORDER BY seq LIMIT 1"
_INSERT = "INSERT INTO spooled (event_id, received_at_ms, digest, until_ms, size, item) VALUES (?, ?, ?, ?, ?, ?)"
_STANDS = "SELECT count(*), ifnull(sum(size), 0), count(stuck) FROM spooled"
_OLDEST = "SELECT received_at_ms FROM spooled ORDER BY seq LIMIT 1"
# The plus: by seq, and not by the index of what is stuck.
_NEXT = "SELECT event_id, size, item FROM spooled WHERE +stuck IS NULL ORDER BY seq LIMIT ?"
_REMOVE = "DELETE FROM spooled WHERE event_id = ? RETURNING size"
_SET_ASIDE = "UPDATE spooled SET stuck = ? WHERE event_id = ?"
_TRY_AGAIN = "UPDATE spooled SET stuck = NULL WHERE stuck IS NOT NULL"
_NEWEST = "SELECT max(event_id) FROM spooled"


@dataclass(frozen=True, slots=True)
class Stands:
    """How much there is in a spool."""

    events: int = 0
    bytes: int = 0
    stuck: int = 0
    oldest_at_ms: int | None = None

    @property
    def waiting(self) -> int:
        """How many may be forwarded."""
        return self.events - self.stuck


class SpoolFile:
    """What is in the spool, oldest first. Several callers may put; one takes.

    free_bytes: room on the disk that the file is on. threaded=False: as in stores.sqlite.
    """

    def __init__(self, settings: SpoolSettings, free_bytes: Callable[[], int], *, threaded: bool = True) -> None:
        self._settings = settings
        self._free_bytes = free_bytes
        self._lock: int | None = None
        guard = FileGuard(settings.path)
        self._thread = ConnectionThread(
            settings.path,
            "longstop-spool",
            guard,
            threaded=threaded,
            setup=lambda connection: _prepare(connection, settings.path),
            application_id=APPLICATION_ID,
            prepare=_prepare,
        )
        self._guard = guard
        self._stands = Stands()

    async def open(self) -> str | None:
        """Open or create the file; the highest event id in it. What was set aside is to be tried again.

        Raises SchemaError where the file is none of ours, or another process has it; StoreUnavailableError.
        """
        self._lock = _locked(f"{self._settings.path}-lock")
        try:
            newest = await self._thread.transact(_begin)
            self._stands = await self._thread.view(_stands)
        except BaseException:
            await self.close()
            raise
        self._guard.may_create = False
        return newest

    async def close(self) -> None:
        """Finish what was begun and let another process have it. Safe to call twice."""
        await self._thread.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def stands(self) -> "Stands":
        """How much there is in it."""
        return self._stands

    async def put(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """Keep events behind those that are there; on the disk when this returns. A receipt for each, in order.

        One whose id is here already is accepted once; one whose dedup key is here is a duplicate of the first. Raises
        StoreUnavailableError where there is no room.
        """
        self._expect_room(appends)
        receipts, put = await self._thread.transact(lambda connection: _put(connection, appends))
        now = self._stands
        self._stands = replace(now, events=now.events + len(put), bytes=now.bytes + sum(map(size, put)))
        if now.oldest_at_ms is None and put:
            self._stands = replace(self._stands, oldest_at_ms=put[0].event.received_at_ms)
        return receipts

    async def first(self, limit: int, limit_bytes: int) -> list[Append]:
        """The next few that may be forwarded. What cannot be read any more is set aside."""
        found, broken = await self._thread.view(lambda connection: _first(connection, limit, limit_bytes))
        for event_id, error in broken:
            await self.set_aside(event_id, error)
        return found

    async def remove(self, event_ids: Sequence[str]) -> None:
        """Let go of events that the store has. A power cut may bring them back: the store knows them by their ids."""
        sizes, oldest_at_ms = await self._thread.call(
            lambda connection: in_unsynced_transaction(connection, lambda c: _remove(c, event_ids))
        )
        now = self._stands
        events, bytes_ = now.events - len(sizes), now.bytes - sum(sizes)
        self._stands = replace(now, events=events, bytes=bytes_, oldest_at_ms=oldest_at_ms)

    async def set_aside(self, event_id: str, why: str) -> None:
        """Keep it, and let the others pass."""
        log.error("spool_stuck", event_id=event_id, error=why)
        await self._thread.transact(lambda connection: connection.execute(_SET_ASIDE, (why, event_id)).fetchall())
        self._stands = replace(self._stands, stuck=self._stands.stuck + 1)

    def is_full(self) -> bool:
        """Whether it takes no more."""
        try:
            self._expect_room((), one_more=1)
        except StoreUnavailableError:
            return True
        return False

    def _expect_room(self, appends: Sequence[Append], one_more: int = 0) -> None:
        settings, now = self._settings, self._stands
        more = sum(map(size, appends))
        over = now.events + len(appends) + one_more > settings.max_events or now.bytes + more > settings.max_bytes
        try:
            low = self._free_bytes() - more < settings.min_free_bytes
        except OSError as error:
            raise StoreUnavailableError(f"{settings.path}: {error}") from error
        if over or low:
            what = "its disk is nearly full" if low else f"it holds {now.events} events, {now.bytes} bytes"
            raise StoreUnavailableError(f"the spool {settings.path} is full: {what}")


def _prepare(connection: apsw.Connection, path: str) -> None:
    """Make the table in a new file. Raises SchemaError where a newer program wrote the file."""
    version = int(connection.execute("PRAGMA user_version").get)
    if version > VERSION:
        raise SchemaError(f"{path}: the spool has version {version}; this program knows versions up to {VERSION}")
    if version < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _locked(path: str) -> int:
    """A lock that ends with the process, however it ends. Raises SchemaError where another process has it."""
    try:
        made = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise StoreUnavailableError(
            f"store.spool: {path}: {error.strerror}; expected a folder that can be written to"
        ) from error
    try:
        fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(made)
        raise SchemaError(
            f"{path}: another process has this spool; give each process one of its own in store.spool"
        ) from None
    return made


def _begin(connection: apsw.Connection) -> str | None:
    connection.execute(_TRY_AGAIN)
    newest = connection.execute(_NEWEST).get
    return None if newest is None else str(newest)


def _put(connection: apsw.Connection, appends: Sequence[Append]) -> tuple[list[Receipt], list[Append]]:
    """Receipts, and what was not there."""
    put: list[Append] = []
    return [_put_one(connection, each, put) for each in appends], put


def _put_one(connection: apsw.Connection, append: Append, put: list[Append]) -> Receipt:
    event = append.event
    if connection.execute(_KNOWN, (event.id,)).fetchone():
        return Receipt(ReceiptStatus.ACCEPTED, event.id)
    digest = None if event.dedup is None else dedup_digest(event.source, event.dedup)
    first = connection.execute(_FIRST_OF_KEY, (digest, event.received_at_ms)).get
    if first is not None:
        return Receipt(ReceiptStatus.DUPLICATE, str(first))
    values = (event.id, event.received_at_ms, digest, append.dedup_until_ms, size(append), packed(append))
    connection.execute(_INSERT, values)
    put.append(append)
    return Receipt(ReceiptStatus.ACCEPTED, event.id)


def _first(connection: apsw.Connection, limit: int, limit_bytes: int) -> tuple[list[Append], list[tuple[str, str]]]:
    found: list[Append] = []
    broken: list[tuple[str, str]] = []
    taken = 0
    for event_id, bytes_, item in connection.execute(_NEXT, (limit,)):
        taken += bytes_
        if found and taken > limit_bytes:
            break
        try:
            found.append(unpacked(item))
        except ValueError as error:
            broken.append((str(event_id), f"it cannot be read: {error}"))
    return found, broken


def _remove(connection: apsw.Connection, event_ids: Sequence[str]) -> tuple[list[int], int | None]:
    """The sizes of those that were there, and when the first of the others was received."""
    gone = (connection.execute(_REMOVE, (id_,)).get for id_ in event_ids)
    sizes = [size for size in gone if isinstance(size, int)]
    return sizes, connection.execute(_OLDEST).get


def _stands(connection: apsw.Connection) -> Stands:
    events, bytes_, stuck = next(connection.execute(_STANDS))
    return Stands(events, bytes_, stuck, connection.execute(_OLDEST).get)


def look(path: str) -> SpoolFacts | None:
    """How the spool in a file stands, whoever has it; None where there is none. Raises StoreUnavailableError."""
    if not Path(path).exists():
        return None
    try:
        connection = apsw.Connection(path, apsw.SQLITE_OPEN_READONLY)
        try:
            stands = _stands(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path}: {error}") from error
    return SpoolFacts(stands.waiting > 0, stands.events, stands.bytes, stands.oldest_at_ms, stuck=stands.stuck)
