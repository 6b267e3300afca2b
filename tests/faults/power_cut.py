"""A power cut: what was written and not synced is gone.

A Redis keeps its files on an ext4 of its own, in a file that is mounted by a loop device. Dirty pages of that ext4
reach the file when somebody syncs them, or half a minute later. So a copy of the file, made when the server was killed,
is the disk as a power cut would have left it: mounted again, its journal is replayed, as after one.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from redis_server import SAFE, RedisServer

IMAGE_BYTES = 96 * 2**20


class PoweredServer(RedisServer):
    """One whose machine has a power cut whenever it is killed."""

    def __init__(self, folder: Path, image: Path, settings: Sequence[str] = SAFE) -> None:
        super().__init__(folder, settings)
        self.image = image

    def kill(self) -> None:
        """SIGKILL, and all that was not synced is gone."""
        super().kill()
        after = self.image.with_suffix(".after")
        _run("cp", "--sparse=always", str(self.image), str(after))
        _run("umount", str(self.folder))
        after.replace(self.image)
        _run("mount", "-o", "loop", str(self.image), str(self.folder))


@contextmanager
def powered(settings: Sequence[str] = SAFE) -> Iterator[PoweredServer]:
    """A server on such a disk; skips the test where none can be mounted."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a power cut needs root and mkfs.ext4")
    with TemporaryDirectory(prefix="longstop-power-") as made:
        image, folder = Path(made) / "disk", Path(made) / "m"
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", str(image))
        try:
            _run("mount", "-o", "loop", str(image), str(folder))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no loop device can be mounted here: {error.stderr.decode().strip()}")
        server = PoweredServer(folder, image, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            _run("umount", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
