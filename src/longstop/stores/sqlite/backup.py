"""A copy of the file while it is in use: of one moment, checked, and there whole or not at all.

SQLite copies its own pages, within one view of the file, so that nobody who writes meanwhile is held up or seen by
halves. The copy gets its name when it is checked and on the disk, and takes no other file's.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from longstop.model.errors import BackupError
from longstop.model.listing import BackedUp
from longstop.stores.sqlite.file_guard import PRIVATE
from longstop.stores.sqlite.schema import APPLICATION_ID

STEP_PAGES = 4_096


def backup(connection: apsw.Connection, target: Path) -> BackedUp:
    """Copy what this connection sees. The inside of one view. Raises BackupError; there is no file then."""
    if os.path.lexists(target):
        raise BackupError(f"{target} exists and is left as it is; name another file")
    # Reading begins the view: from here on no write of anybody's is seen.
    events = int(connection.execute("SELECT coalesce(sum(n), 0) FROM counters WHERE subject = 'events'").get)
    try:
        with _beside(target) as copy:
            _copy(connection, copy)
            _check(copy)
            _sync(copy)
            _name(copy, target)
            _sync(target.parent)
            return BackedUp(str(target), target.stat().st_size, events)
    except (OSError, apsw.Error) as error:
        raise BackupError(f"{target} cannot be written: {error}; there is no backup") from error


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new file beside the target, for its owner alone; gone afterwards."""
    copy = target.with_name(f".{target.name}.{os.getpid()}.part")
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))
    try:
        yield copy
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{copy}{end}").unlink(missing_ok=True)


def _copy(connection: apsw.Connection, copy: Path) -> None:
    made = apsw.Connection(str(copy))
    try:
        made.execute("PRAGMA synchronous = OFF")
        with made.backup("main", connection, "main") as running:
            while not running.done:
                running.step(STEP_PAGES)
    finally:
        made.close(True)


def _check(copy: Path) -> None:
    """Open it as a restore would, and have every page looked at."""
    made = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        found = made.execute("PRAGMA integrity_check(1)").get
        ours = made.execute("PRAGMA application_id").get
    finally:
        made.close(True)
    if found != "ok" or ours != APPLICATION_ID:
        raise BackupError(f"{copy}: the copy is damaged: {found}; there is no backup, and the database needs a look")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _name(copy: Path, target: Path) -> None:
    try:
        # Unlike a rename, it takes nobody's place.
        os.link(copy, target)
    except FileExistsError:
        raise BackupError(f"{target} exists and is left as it is; name another file") from None
    except OSError:
        # A file system without links.
        os.rename(copy, target)
