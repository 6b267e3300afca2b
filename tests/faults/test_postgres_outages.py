"""PostgreSQL goes away in every way that a gateway meets: 503 meanwhile, and it comes back by itself with all there."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres_server
from acceptance.harness import Site, wait_until
from faults.postgres_outage import ITS_CONNECTIONS, ROLE, Gateway, fill
from postgres_server import PostgresServer

SLOWEST_S = 4 * 2
"""The promise is 4 s for any answer. Twice as much, for a machine that is busy."""
FEW = 6
"""Lines about an outage of ten seconds, in which dozens of tries fail."""
DISK_BYTES = 160 << 20
OTHERS = 11
"""Connections that a server gives to others than its own people, for whom it keeps three."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    postgres_server.needed()
    with postgres_server.running() as made:
        yield made


def test_its_connections_are_ended_again_and_again(site: Site, server: PostgresServer) -> None:
    gateway = Gateway(site, server)
    for _ in range(20):
        gateway.disconnect()
        gateway.until(200)
    gateway.ends_whole()


def test_it_is_restarted(site: Site, server: PostgresServer) -> None:
    gateway = Gateway(site, server)
    for _ in range(3):
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30)
        gateway.until(503)
        server.start()
        gateway.until(200)
    gateway.ends_whole()


def test_it_answers_nothing_and_goes_on(site: Site, server: PostgresServer) -> None:
    gateway = Gateway(site, server)
    server.signal(signal.SIGSTOP)
    gateway.until(503)
    gateway.until(503)
    assert gateway.slowest_s < SLOWEST_S
    server.signal(signal.SIGCONT)
    gateway.ends_whole()
    # Whoever needs the store has met it, many times; what is told is for people.
    wait_until(lambda: gateway.told("store_back"), "the log to say that it is over")
    assert 1 <= gateway.told("store_away") <= FEW
    assert gateway.told("store_back") == 1
    assert gateway.log.count('"level": "error"') == gateway.told("store_away"), gateway.log


def test_others_have_all_its_connections(site: Site) -> None:
    postgres_server.needed()
    with postgres_server.running({"max_connections": str(OTHERS + 3)}) as server:
        gateway = Gateway(site, server)
        taken: list[socket.socket] = []
        with gateway.asleep():
            gateway.disconnect()
            wait_until(lambda: server.sql(f"SELECT count(*) {ITS_CONNECTIONS}") == "0", "its connections to end")
            # Those who have just gone leave their places a moment later.
            wait_until(lambda: _take(server, taken) == OTHERS, "all others' connections to be taken")
        gateway.until(503)
        wait_until(lambda: "(53300)" in gateway.log, "the log to say why")
        for each in taken:
            each.close()
        gateway.ends_whole()


def _take(server: PostgresServer, taken: list[socket.socket]) -> int:
    """Take one more, if there is one; how many are taken."""
    if (connection := server.connection(ROLE)) is not None:
        taken.append(connection)
    return len(taken)


def test_its_password_is_another(site: Site, server: PostgresServer) -> None:
    passwords = site.folder / "passwords"

    def write(password: str) -> None:
        passwords.write_text(f"*:*:*:{ROLE}:{password}\n")
        passwords.chmod(0o600)

    write("first-canary")
    gateway = Gateway(site, server, f"&passfile={passwords.name}")
    rules = server.data / "pg_hba.conf"
    rules.write_text(f"local all {ROLE} scram-sha-256\nlocal all all trust\n")
    server.sql(f"ALTER ROLE {ROLE} PASSWORD 'first-canary'")
    server.sql("SELECT pg_reload_conf()")
    gateway.disconnect()
    gateway.until(200)
    server.sql(f"ALTER ROLE {ROLE} PASSWORD 'second-canary'")
    gateway.disconnect()
    gateway.until(503)
    wait_until(lambda: "(28P01)" in gateway.log, "the log to say why")
    write("second-canary")
    gateway.ends_whole()
    assert "canary" not in gateway.log


@pytest.fixture
def small_disk() -> Iterator[Path]:
    # Not below pytest's folder, into which only its user may go.
    with postgres_server.place() as disk:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "longstop", str(disk)]
        if os.getuid() != 0 or subprocess.run(mount, check=False).returncode:
            pytest.skip("needs root's right to mount")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("left", [0, 200_000], ids=["none left", "a little left"])
def test_its_disk_is_full(site: Site, small_disk: Path, left: int) -> None:
    postgres_server.needed()
    with postgres_server.running(root=small_disk) as server:
        gateway = Gateway(site, server)
        fill(small_disk / "others", left)
        # What is written goes into the room that its log has already, for a while.
        server.sql("SELECT pg_switch_wal()")
        gateway.until(503)
        (small_disk / "others").unlink()

        def takes_again() -> bool:
            if server.process.poll() is not None:
                # It ends itself where it cannot write its log. Who looks after it starts it again.
                server.begin()
            return gateway.post() == 200

        wait_until(takes_again, "an event to be taken again")
        gateway.ends_whole()
