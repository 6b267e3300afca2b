"""Servers for measurements: PostgreSQL and Redis, started as in production, ended with the measurement.

    with servers.postgresql(folder) as url: ...
    with servers.redis(folder) as url: ...

The URL is what `[store] url` takes. What is acknowledged is on the disk: fsync, full_page_writes and
synchronous_commit on; appendonly with appendfsync always. The folder is for the server alone, and is left as it is: on
the disk that is to be measured, never on one that is memory.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from aws_server import CREDENTIALS, AwsServer
from postgres_server import PostgresServer, program
from redis_server import SAFE, RedisServer, binary

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
OF_A_SMALL_MACHINE = {"shared_buffers": "256MB", "max_wal_size": "1GB", "checkpoint_timeout": "5min"}
DATABASE = "longstop"


@contextmanager
def postgresql_server(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A PostgreSQL with an empty database DATABASE, and what may be done to it. settings: more, or others."""
    if program("postgres") is None:
        raise SystemExit("no PostgreSQL here (Debian: apt install postgresql)")
    folder.mkdir(parents=True, exist_ok=True)
    _let_pass(folder)
    server = PostgresServer(folder, {**OF_A_SMALL_MACHINE, **(settings or {}), **DURABLE})
    try:
        server.make()
        server.start()
        server.sql(f"CREATE DATABASE {DATABASE}")
        yield server
    finally:
        server.stop()


@contextmanager
def postgresql(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a PostgreSQL's empty database."""
    with postgresql_server(folder, settings) as server:
        yield server.url(DATABASE)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of an empty Redis, on a free port of the loopback. The folder's path: 90 characters at most."""
    if binary() is None:
        raise SystemExit("no redis-server or valkey-server on the PATH (Debian: apt install redis-server)")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = RedisServer(folder, SAFE, port)
    try:
        server.start()
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.stop()


@contextmanager
def emulated_aws(folder: Path) -> Iterator[AwsServer]:
    """An emulator of AWS, which is not AWS: it says what calls cost here, and nothing of what they take there."""
    if not Path(sys.prefix, "aws", "bin", "python").exists():
        raise SystemExit("no emulator of AWS here: make aws-emulators")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = AwsServer("ministack", folder, port)
    os.environ.update(CREDENTIALS)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _let_pass(folder: Path) -> None:
    """Let the user that root has the server run as come to its folder, through temporary folders that are root's."""
    for each in folder.resolve().parents:
        if each.is_relative_to(tempfile.gettempdir()) and each.stat().st_uid == os.getuid():
            each.chmod(each.stat().st_mode | 0o001)
