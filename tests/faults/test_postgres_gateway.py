"""A gateway on a PostgreSQL that is killed again and again while senders post: 503 meanwhile, and nothing is lost."""

import asyncio
import os

import pytest

import postgres_server
from acceptance.harness import Site
from faults.killing import Figures, run_beside
from faults.test_kill import ACK_BEFORE_COMMIT

CYCLES = int(os.environ.get("CYCLES", "20"))
SEED = int(os.environ.get("SEED", "20261128"))
EACH = 60
"""So many more are acknowledged before the next kill."""


def _on(site: Site, url: str) -> None:
    site.configure(lease="2s", attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
    site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", url))


def _killed(site: Site, cycles: int, plant: str = "") -> Figures:
    postgres_server.needed()
    with postgres_server.running() as server:
        server.sql("CREATE DATABASE longstop")
        _on(site, server.url("longstop"))

        async def kill(acknowledged: set[str]) -> None:
            for _ in range(cycles):
                enough = len(acknowledged) + EACH
                while len(acknowledged) < enough:
                    await asyncio.sleep(0.02)
                server.kill()
                await asyncio.to_thread(server.start)

        return run_beside(site, kill, cycles, SEED, plant)


@pytest.mark.timeout(180 + 10 * CYCLES)
def test_every_acknowledged_event_survives_every_kill_of_its_server(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = _killed(site, CYCLES)
    with capsys.disabled():
        print(f"\nkills of PostgreSQL below a gateway, seed {SEED}: {figures}")
    assert figures.acknowledged >= EACH * CYCLES
    assert (figures.lost, figures.undelivered) == (0, 0)
    assert not figures.unexplained


def test_an_acknowledgement_before_the_commit_would_be_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = _killed(site, 3, ACK_BEFORE_COMMIT)
    with capsys.disabled():
        print(f"\nplanted: acknowledged before the commit: {figures}")
    assert figures.lost > 0
