"""Redis is killed under load: nothing that was acknowledged is lost, nothing is done twice, and every counter holds.

And the proof of the proof: a server that keeps no log loses events, and the same reckoning finds them lost.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from faults.redis_kills import run
from redis_server import RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", "20261128"))


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


@pytest.mark.timeout(60 + 3 * KILLS)
async def test_every_acknowledged_event_survives_every_kill(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = RedisServer(folder)
    server.start()
    try:
        ledger = await run(server, KILLS, SEED)
    finally:
        server.stop()
    kept = len(ledger.acknowledged)
    with capsys.disabled():
        print(f"\nRedis, {KILLS} kills: {kept} acknowledged, {ledger.lost} lost, {len(ledger.settled)} settled,"
              f" {ledger.again} tries made again, {ledger.refused} calls refused")  # fmt: skip
    assert kept > 20 * KILLS, "too little load to say anything"
    assert ledger.again, "no kill met a call"
    assert ledger.lost == 0
    assert not ledger.wrong


async def test_a_server_without_a_log_is_found_to_lose_events(folder: Path) -> None:
    server = RedisServer(folder, ("--appendonly", "no"))
    server.start()
    try:
        ledger = await run(server, 2, SEED, relaxed=True)
    finally:
        server.stop()
    assert ledger.lost > 0
