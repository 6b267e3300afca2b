"""Bodies as files in a folder: of this machine, or of a file system that all who use the store share.

`FOLDER/longstop-bodies` holds what the folder is known by. A mount that is away leaves an empty folder in its place, to
which nothing must be written and in which nothing is missing: so every call looks whether it is there.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from longstop.model.errors import StoreUnavailableError

T = TypeVar("T")

MARK = "longstop-bodies"
OLD_S = 3_600
"""What was put so long ago belongs to an event by now, or never will. By the file system's own clock."""
_NAME = re.compile(r"[A-Za-z0-9-]{8,200}")
_SHARD_CHARS = 2
"""Of a name's end: files lie in so many folders that none of them grows too large."""


class FolderBodies:
    """See ports.Bodies. folder: an absolute path; its parent has to be there."""

    def __init__(self, folder: Path) -> None:
        self.place = f"file://{folder}"
        self._folder = folder
        self._mark: str | None = None

    async def open(self) -> str:
        """See ports.Bodies."""
        self._mark = await self._in_thread(self._made)
        return self._mark

    async def close(self) -> None:
        """See ports.Bodies. Nothing is held open."""

    async def look(self) -> None:
        """See ports.Bodies."""
        await self._in_thread(self._look)

    async def put(self, bodies: Mapping[str, bytes]) -> None:
        """See ports.Bodies."""
        if bodies:
            await self._in_thread(lambda: self._put(bodies))

    async def get(self, name: str) -> bytes | None:
        """See ports.Bodies."""
        return await self._in_thread(lambda: self._get(name))

    async def delete(self, names: Sequence[str]) -> None:
        """See ports.Bodies."""
        if names:
            await self._in_thread(lambda: self._delete(names))

    async def old(self, after: str | None) -> tuple[Sequence[str], str | None]:
        """See ports.Bodies. One of the folders at a time."""
        return await self._in_thread(lambda: self._old(after))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise StoreUnavailableError(f"{self.place}: {error.strerror or error}") from None

    # -- in a thread --------------------------------------------------------------------------

    def _made(self) -> str:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        mark = self._folder / MARK
        if not mark.exists():
            new = self._folder / f".{MARK}.{secrets.token_hex(8)}"
            _write(new, secrets.token_hex(16).encode())
            with contextlib.suppress(FileExistsError):
                # Of several who come at once, the first.
                os.link(new, mark)
            new.unlink()
            _sync(self._folder)
            _sync(self._folder.parent)
        return mark.read_text("ascii", "replace").strip()

    def _look(self) -> None:
        """Raise StoreUnavailableError where this is not the folder that was opened."""
        try:
            found = (self._folder / MARK).read_text("ascii", "replace").strip()
        except FileNotFoundError:
            found = None
        if found is None or found != self._mark:
            raise StoreUnavailableError(
                f"{self.place}: found another folder than before, or an empty one; expected it to be mounted"
            )

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a body: {name[:50]!r}")
        return self._folder / name[-_SHARD_CHARS:] / name

    def _put(self, bodies: Mapping[str, bytes]) -> None:
        self._look()
        paths = {self._path(name): body for name, body in bodies.items()}
        for shard in {path.parent for path in paths}:
            if not shard.is_dir():
                shard.mkdir(mode=0o700, exist_ok=True)
                _sync(self._folder)
        for path, body in paths.items():
            new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                _write(new, body)
                new.rename(path)
            except OSError:
                new.unlink(missing_ok=True)
                raise
        for shard in {path.parent for path in paths}:
            _sync(shard)

    def _get(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            self._look()
            return None

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _old(self, after: str | None) -> tuple[Sequence[str], str | None]:
        self._look()
        shards = sorted(each.name for each in self._folder.iterdir() if len(each.name) == _SHARD_CHARS)
        left = [name for name in shards if after is None or name > after]
        if not left:
            return (), None
        found = list(self._of_shard(self._folder / left[0], self._now_s() - OLD_S))
        return found, left[0] if len(left) > 1 else None

    def _now_s(self) -> float:
        """By the clock that the files' times are of."""
        os.utime(self._folder / MARK)
        return (self._folder / MARK).stat().st_mtime

    def _of_shard(self, shard: Path, before_s: float) -> Iterator[str]:
        for entry in os.scandir(shard):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime >= before_s:
                    continue
                if entry.name.startswith("."):
                    # Begun and never finished.
                    os.unlink(entry.path)
                elif _NAME.fullmatch(entry.name):
                    yield entry.name


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """What a file is called is durable when its folder is synced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
