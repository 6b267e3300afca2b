"""`kill -9` at random moments under load, with real syncs: nothing that was acknowledged is lost.

And the proof of the proof: with a bug planted that loses events, the same reckoning finds them lost.
"""

import os

import pytest

from acceptance.harness import Site
from faults.killing import Figures, run

pytestmark = pytest.mark.any_store
CYCLES = int(os.environ.get("CYCLES", "50"))
SEED = int(os.environ.get("SEED", "20261122"))
CONTROL_CYCLES = 4

ACK_BEFORE_COMMIT = """
import asyncio
from longstop.accepting.ingest import Ingest
from longstop.model.event import Receipt, ReceiptStatus

durable, late = Ingest._keep, set()

async def afterwards(self, source, item, patience_s):
    await asyncio.sleep(0.2)
    await durable(self, source, item, patience_s)

async def at_once(self, source, item, patience_s):
    task = asyncio.create_task(afterwards(self, source, item, patience_s))
    late.add(task)
    task.add_done_callback(late.discard)
    return Receipt(ReceiptStatus.ACCEPTED, item.event.id)

Ingest._keep = at_once
"""
NO_RESCUE = """
from longstop.delivering.rescue import Rescue

async def nobody(self):
    return 0

Rescue.rescue = nobody
"""


def _told(capsys: pytest.CaptureFixture[str], title: str, figures: Figures) -> None:
    with capsys.disabled():
        print(f"\n{title}: {figures}")


@pytest.mark.timeout(60 + 15 * CYCLES)
def test_every_acknowledged_event_survives_every_kill(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, CYCLES, SEED)
    _told(capsys, f"seed {SEED}", figures)
    assert figures.acknowledged > 10 * CYCLES, "too little load to say anything"
    assert figures.lost == 0
    assert figures.undelivered == 0
    assert not figures.unexplained
    assert figures.repeats > 0 or CYCLES < 10, "no kill met an attempt under way, so nothing was shown of repeats"


def test_an_acknowledgement_before_the_commit_would_be_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, CONTROL_CYCLES, SEED, plant=ACK_BEFORE_COMMIT)
    _told(capsys, "planted: acknowledged before the commit", figures)
    assert figures.lost > 0


def test_a_gateway_that_rescues_nothing_would_be_found(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, CONTROL_CYCLES, SEED, plant=NO_RESCUE, drain_s=5)
    _told(capsys, "planted: nothing is rescued", figures)
    assert figures.lost == 0
    assert figures.undelivered > 0
