"""An archive of files in a folder: compressed lines of JSON, one file a day of arrival, or a few.

`2026-01-31.0001.jsonl.gz`: any program that reads gzip reads it. Each batch is a gzip member of its own behind the
others, and is on the disk, with the folder's entry, before anybody hears of it. A file is written only by the process
that made it: what a crash has cut off stays at its end, where no line is missed that anybody relied on, and the next
process begins the next file. So the same event may stand in it twice.
"""

import asyncio
import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from longstop.archives.days import day_of, days_about
from longstop.archives.lines import from_lines, is_of, to_line
from longstop.model.errors import ArchiveError
from longstop.model.ids import id_ms, is_id
from longstop.model.retention import ArchivedEvent, WholeEvent

PRIVATE = 0o600
CHUNK = 1 << 20
LEVEL = 3
"""Of compression: half the time of the usual 6, for a tenth more bytes."""


class FileArchive:
    """Implements `ports.Archive` in a folder, which is made when something is first written."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._parts: dict[str, tuple[Path, int]] = {}
        """Of each day the file that this process writes, and how much of it is whole."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="longstop-archive")

    async def write(self, events: Sequence[WholeEvent]) -> None:
        """See ports.Archive."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, events)

    async def close(self) -> None:
        """See ports.Archive."""
        self._thread.shutdown(wait=False)

    async def find(self, id_: str) -> ArchivedEvent | None:
        """See ports.Archive. Goes through the files of the day that the id names, and of the days beside it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, id_)

    # -- writing ----------------------------------------------------------------------------------

    def _write(self, events: Sequence[WholeEvent]) -> None:
        days: dict[str, list[bytes]] = {}
        for whole in events:
            days.setdefault(day_of(whole.kept.event.received_at_ms), []).append(to_line(whole))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for day, lines in days.items():
                self._append(day, gzip.compress(b"".join(lines), LEVEL))
        except OSError as error:
            raise ArchiveError(f"{self._folder}: the archive cannot be written: {error}") from error

    def _append(self, day: str, member: bytes) -> None:
        path, whole = self._parts.get(day) or self._new_part(day)
        # Without CREATE: a file that was taken away is begun anew, and not continued at a place that is not there.
        try:
            file = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            path, whole = self._new_part(day)
            file = os.open(path, os.O_WRONLY)
        try:
            # Whatever a write that failed has left behind the last whole member.
            os.ftruncate(file, whole)
            os.lseek(file, whole, os.SEEK_SET)
            with open(file, "wb", closefd=False) as out:
                out.write(member)
            os.fsync(file)
        finally:
            os.close(file)
        self._parts[day] = (path, whole + len(member))

    def _new_part(self, day: str) -> tuple[Path, int]:
        taken = [int(path.name.split(".")[1]) for path in self._of_day(day)]
        number = max(taken, default=0)
        while True:
            number += 1
            path = self._folder / f"{day}.{number:04}.jsonl.gz"
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
                _sync_folder(self._folder)
                self._parts[day] = (path, 0)
                return path, 0

    def _of_day(self, day: str) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"{day}.*.jsonl.gz") if path.name.split(".")[1].isdigit())

    # -- reading ----------------------------------------------------------------------------------

    def _find(self, id_: str) -> ArchivedEvent | None:
        if not is_id(id_):
            return None
        found: list[bytes] = []
        places: list[Path] = []
        try:
            for path in (path for day in days_about(id_ms(id_)) for path in self._of_day(day)):
                lines = [line for line in _lines(path) if is_of(line, id_)]
                found += lines
                places += [path] * bool(lines)
        except OSError as error:
            raise ArchiveError(f"{self._folder}: the archive cannot be read: {error}") from error
        return ArchivedEvent(from_lines(found), ", ".join(map(str, places))) if found else None


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file; what a crash has cut off at its end is passed over."""
    with path.open("rb") as file:
        rest = b""
        for data in _unpacked(file):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """What can be unpacked, member by member; gzip's own reader gives nothing of a file whose end is missing."""
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while data := file.read(CHUNK):
        while data:
            try:
                yield unpack.decompress(data)
            except zlib.error:
                return
            data = unpack.unused_data
            if unpack.eof:
                unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)


def _sync_folder(folder: Path) -> None:
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
