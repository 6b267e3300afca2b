"""A PostgreSQL of the tests' own: Debian's program, in a folder of its own, on a unix socket, for one session.

Every test gets a database of its own, which is a copy of one that is migrated already. QUICK forgets what it confirms
in a power cut, of which there is none here; a test that kills the server has one without it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
NOBODY = 65534
TEMPLATE = "longstop_template"


def program(name: str) -> str | None:
    """Where one of the server's programs is: on Debian beside the version, and on nobody's PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)


def needed() -> None:
    """Skip where there is no PostgreSQL; fail where there has to be one."""
    if program("postgres") and program("initdb"):
        return
    message = "no PostgreSQL here (Debian: apt install postgresql)"
    if "LONGSTOP_CI" in os.environ:
        pytest.fail(message)
    pytest.skip(message)


class PostgresServer:
    """One server, and what may be done to it."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._settings = {"listen_addresses": "", "max_connections": "60", "shared_buffers": "32MB"} | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """Where a database of it is."""
        return f"postgresql://longstop@/{database}?host={self.folder}"

    def make(self) -> None:
        """Make an empty cluster."""
        if os.getuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        asked = ["-U", "longstop", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *asked)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = self._command("postgres", "-D", str(self._data), "-k", str(self.folder), *options)
        with (self.folder / "log").open("ab") as out:
            # Its workers end with it, so it is the only process to end.
            self._process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 60
        while self._try("psql", "-h", str(self.folder), "-U", "longstop", "-d", "postgres", "-c", "SELECT 1"):
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's first process."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """kill -9, the workers first: they would go on for a moment otherwise."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.send_signal(signal.SIGKILL)
        for child in map(int, children):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.wait()
        for child in map(int, children):
            while Path(f"/proc/{child}/stat").exists() and " Z " not in _stat(child):
                time.sleep(0.01)

    def stop(self) -> None:
        """End it: what is under way is undone, and nothing is written out that a folder to be cleared would lose."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[str]:
        """A new database, as its URL, until it is dropped."""
        name = f"place_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints."""
        return self._run("psql", "-h", str(self.folder), "-U", "longstop", "-d", database, "-qAtc", statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _command(self, name: str, *args: str) -> list[str]:
        path = program(name)
        assert path is not None, name
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.getuid() == 0 else []
        return [*as_nobody, path, *args]

    def _run(self, name: str, *args: str) -> str:
        done = subprocess.run(self._command(name, *args), capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _try(self, name: str, *args: str) -> int:
        return subprocess.run(self._command(name, *args), capture_output=True, cwd=self.folder, check=False).returncode


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


@contextmanager
def running(settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """A server in a new folder, ended and cleared away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="longstop-pg-"))
    server = PostgresServer(folder, settings)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
