"""The file under our feet: whether what is written goes into the file that the path names.

A file that was deleted, replaced or moved, with its folder or its volume, stays open: everything works, and after a
restart all of it is gone. So every piece of work ends with a look at the paths (three `stat` calls, some microseconds)
before anybody hears of it: database, log and index of the log have to be the files that were opened. Otherwise the
connections are closed, and the store begins anew on what is there.

Nothing is ever *created* then: a path without a file may be a folder on its way, or a volume that is not mounted yet,
and an empty database in its place would hide that. A start of the program creates one. What has just been put there is
left alone until it has not changed for a moment: it may be a copy that is still being written.

What stat cannot see: a copy written over the file's own bytes, no shorter than it was.
"""

import contextlib
import ctypes
import os
import threading
import time
from typing import NamedTuple

import apsw
import structlog

from longstop.model.errors import StoreUnavailableError

log = structlog.get_logger("longstop.store")

SETTLED_S = 1.0
"""A file that was put back is opened when it has not changed for so long."""
PRIVATE = 0o600


class FileMovedError(StoreUnavailableError):
    """The path names another file than the one that is open, or none."""


class _Identity(NamedTuple):
    device: int
    number: int


class OpenFiles:
    """The files behind one connection, as they were when it was opened."""

    def __init__(self, connection: apsw.Connection, path: str) -> None:
        self._connection = connection
        # The log is opened, and made where there is none, by whoever reads first.
        connection.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018
        paths = (path, connection.filename_wal, f"{connection.filename}-shm")
        self._known = [(each, _identity(each)) for each in paths]
        self._size = 0
        if _has_moved(connection):
            raise FileMovedError(f"{path}: it was moved while it was opened")

    def trouble(self) -> str | None:
        """What is wrong with them now; None: nothing."""
        sizes = []
        for path, known in self._known:
            try:
                found = os.stat(path)
            except OSError as error:
                if known is None:
                    continue
                return f"{path} is gone ({error.strerror})"
            if known is not None and (found.st_dev, found.st_ino) != known:
                return f"{path} is another file now"
            sizes.append(found.st_size)
        return self._cut_off(sizes[0], sum(sizes[:2]))

    def keeps_log(self) -> bool:
        """Whether closing may move the log into the database: the path names the database, and nobody has a new log."""
        (path, database), *logs = self._known
        return database == _identity(path) and all(_identity(each) in (known, None) for each, known in logs)

    def _cut_off(self, size: int, with_log: int) -> str | None:
        """Whether the database is shorter than it was and than it has to be: every page is in it or in the log.

        It may be shorter: room that was given back is cut off when the log is moved. Until it is as long as it has to
        be without the log, it is looked at each time.
        """
        if size >= self._size:
            self._size = size
            return None
        pages = int(self._connection.execute("PRAGMA page_count").get)
        page_bytes = int(self._connection.execute("PRAGMA page_size").get)
        if size >= pages * page_bytes:
            self._size = size
        elif size < page_bytes or size % page_bytes or with_log < pages * page_bytes:
            return f"{self._known[0][0]} was cut off: {size} bytes, and {pages} pages of {page_bytes} should be there"
        return None


class FileGuard:
    """What the connections of one store know together of its file. They live in several threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open = 0
        self._lost = ""
        self._seen: tuple[int, ...] | None = None
        self._seen_at_s = 0.0
        self.may_create = True
        """Until the store has been opened."""

    @property
    def lost(self) -> bool:
        """Whether the file was lost and is not open again."""
        return bool(self._lost)

    def lose(self, why: str) -> FileMovedError:
        """The file is lost: what to raise. Said once."""
        with self._lock:
            if not self._lost:
                self._lost = why
                self._seen = None
                log.error(
                    "file_moved",
                    path=self._path,
                    error=why,
                    hint="nothing is accepted until a database is there again; put it back, or restart to begin "
                    "with what is there",
                )
        return FileMovedError(f"{self._path}: {why}; nothing was acknowledged")

    def about_to_open(self) -> None:
        """Raise FileMovedError while the file is lost and nothing is there, or others have the lost one open still."""
        with self._lock:
            if not self._lost:
                return
            if self._open:
                raise FileMovedError(f"{self._path}: {self._lost}; it is being closed")
            try:
                found = os.stat(self._path)
            except OSError as error:
                self._seen = None
                raise FileMovedError(f"{self._path}: {self._lost}, and {error.strerror}") from None
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            now_s = time.monotonic()
            if seen != self._seen:
                self._seen, self._seen_at_s = seen, now_s
            if now_s - self._seen_at_s < SETTLED_S:
                raise FileMovedError(f"{self._path}: {self._lost}; what is there now is opened in a moment")

    def opened(self) -> None:
        """A connection was opened."""
        with self._lock:
            self._open += 1
            if self._lost:
                log.warning("file_reopened", path=self._path, after=self._lost)
            self._lost = ""

    def closed(self) -> None:
        """A connection was closed."""
        with self._lock:
            self._open -= 1


def _has_moved(connection: apsw.Connection) -> bool:
    """Whether SQLite finds another file at the path than the one it has open."""
    moved = ctypes.c_int(0)
    connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, ctypes.addressof(moved))
    return bool(moved.value)


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _Identity(found.st_dev, found.st_ino)


def create_private(path: str) -> None:
    """Make the database before SQLite does, for its owner alone: it holds what senders sent. The log gets its mode."""
    # It is there already; or it cannot be made, and SQLite will say so.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))


def make_private(path: str) -> None:
    """See that only the owner can read what is there. Where a mode cannot be changed, that is logged."""
    for each in (path, f"{path}-wal", f"{path}-shm"):
        _tighten(each)


def _tighten(path: str) -> None:
    try:
        mode = os.stat(path).st_mode & 0o777
        if mode & 0o077:
            os.chmod(path, PRIVATE)
            log.warning("made_private", path=path, mode_was=f"{mode:04o}", mode=f"{PRIVATE:04o}")
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("not_private", path=path, error=str(error))
