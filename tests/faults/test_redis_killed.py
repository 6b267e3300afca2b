"""Redis is killed under load: nothing that was acknowledged is lost, nothing is done twice, and every counter holds.

Likewise where its machine loses power. And the proof of the proof: a server that keeps no log, or syncs it once a
second, and a gateway that is hasty are found out by the same reckoning. (Functions that do not look at a lease's token:
test_two_workers.py.)
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from faults.power_cut import powered
from faults.redis_kills import Counting, Ledger, run
from longstop.model.append import Append
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Receipt, ReceiptStatus
from redis_server import RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

KILLS = int(os.environ.get("KILLS", "100"))
CUTS = int(os.environ.get("CUTS", "15"))
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
        print(f"\nRedis, {KILLS} kills: {told(ledger)}")
    assert kept > 20 * KILLS, "too little load to say anything"
    assert ledger.again, "no kill met a call"
    assert ledger.lost == 0
    assert ledger.wrong == []


def told(ledger: Ledger) -> str:
    """0 lost in n says at 95 % that fewer than 3 in n are."""
    kept = len(ledger.acknowledged)
    return (
        f"{ledger.lost} lost of {kept} acknowledged (below {3 / kept:.1e}), {len(ledger.settled)} settled,"
        f" {ledger.again} tries made again, {ledger.refused} calls refused"
    )


@pytest.mark.timeout(120 + 4 * CUTS)
async def test_every_acknowledged_event_survives_every_power_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with powered() as server:
        ledger = await run(server, CUTS, SEED)
    with capsys.disabled():
        print(f"\nRedis, {CUTS} power cuts: {told(ledger)}")
    assert len(ledger.acknowledged) > 10 * CUTS, "too little load to say anything"
    assert ledger.lost == 0
    assert ledger.wrong == []


async def test_a_server_that_syncs_once_a_second_is_found_to_lose_events_in_a_power_cut() -> None:
    with powered(("--appendonly", "yes", "--appendfsync", "everysec")) as server:
        ledger = await run(server, 3, SEED, relaxed=True)
    assert ledger.lost > 0


async def test_a_gateway_that_acknowledges_before_the_commit_is_found_to_lose_events(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longstop.stores.redis.database.PATIENCE_S", 0)
    server = RedisServer(folder)
    server.start()
    try:
        ledger = await run(server, 5, SEED, make=Hasty)
    finally:
        server.stop()
    assert ledger.lost > 0


class Hasty(Counting):
    """Planted: it acknowledges what it is about to keep."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        with contextlib.suppress(StoreUnavailableError):
            return await super().append(appends)
        await asyncio.sleep(0.005)
        return [Receipt(ReceiptStatus.ACCEPTED, each.event.id) for each in appends]


async def test_a_server_without_a_log_is_found_to_lose_events(folder: Path) -> None:
    server = RedisServer(folder, ("--appendonly", "no"))
    server.start()
    try:
        ledger = await run(server, 2, SEED, relaxed=True)
    finally:
        server.stop()
    assert ledger.lost > 0
