"""`longstop demo` as a person runs it, without a terminal: its count, its exit status, and what it leaves behind."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from longstop.clock import SystemClock
from longstop.demo.backend import Backend
from longstop.demo.show import Plan, perform
from longstop.demo.view import View

DEMO = (sys.executable, "-m", "longstop", "demo")
QUICK = Plan(events=40, rate_per_s=40.0, outage_after_s=0.2, outage_s=0.3, kill_after_s=0.2)


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The demo as a process whose temporary files go into `folder`."""
    return subprocess.Popen(
        [*DEMO, *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gateways(said: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"gateway started.*?: pid (\d+)", said)]


def table(said: str) -> dict[str, int]:
    """The final table's numbers, by label."""
    return {label: int(number) for label, number in re.findall(r"^  (\w[\w ]*?) {2,}(\d+)(?: |$)", said, re.M)}


def test_nothing_is_missing_in_the_end(tmp_path: Path):
    process = start(tmp_path, "--json", "--keep")
    out, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    told: dict[str, Any] = json.loads(out)
    assert told["ok"] is True
    assert told["seconds"] < 60
    # Nothing was lost on the way in or on the way out, though everything was done to lose something.
    assert told["sent"] == told["accepted"] == told["delivered"] == Plan().events
    assert told["not_accepted"] == told["missing_after"] == 0
    assert told["gateway_kills"] == 1
    # What was not delivered at the first count was dead, and there was some of each.
    assert told["delivered_before_replay"] + told["missing_before_replay"] == told["accepted"]
    assert 0 < told["missing_before_replay"] <= told["dead_before_replay"]
    assert told["dead_before_replay"] == sum(told["dead_by_reason"].values())
    assert set(told["dead_by_reason"]) == {"exhausted", "rejected"}
    assert told["redeliveries_recognised"] >= Plan().events // 30
    assert told["attempts"] > told["delivered"]
    # The screen says the same.
    numbers = table(said)
    assert numbers["sent"] == told["sent"]
    assert numbers["delivered"] == told["delivered"]
    assert numbers["dead before replay"] == told["dead_before_replay"]
    assert numbers["missing after replay"] == 0
    assert "0 unaccounted for" in said
    for happened in ("destination down", "destination up again", "kill -9", "gateway started again", "replaying"):
        assert happened in said
    assert "\x1b" not in said
    # And nobody is left.
    assert len(gateways(said)) == 2
    assert not any(alive(pid) for pid in gateways(said))
    # What is kept can be looked at, in a shell without the secret.
    (kept,) = tmp_path.iterdir()
    assert f"kept for you in {kept}" in said
    assert "Next: `longstop init`" in said
    looked = subprocess.run(
        [*DEMO[:-1], "status", "--json"], cwd=kept, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(looked.stdout)["events"] == told["sent"]
    assert "LONGSTOP_DEMO_SECRET is not set" in looked.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals):
    process = start(tmp_path)
    assert process.stdout is not None
    said = ""
    while not gateways(said):
        line = process.stdout.readline()
        assert line, "the demo ended before its gateway ran"
        said += line
    process.send_signal(number)
    rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Nothing is left running" in rest
    assert "Traceback" not in complaints
    assert not any(alive(pid) for pid in gateways(said))
    assert list(tmp_path.iterdir()) == []


class Forgetful(Backend):
    """A destination that answers 2xx and then loses one event for good."""

    def _take(self, webhook_id: str, body: bytes) -> None:
        super()._take(webhook_id, body)
        if self.forgotten in (None, webhook_id):
            self.forgotten = webhook_id
            del self.delivered[webhook_id]

    forgotten: str | None = None


async def test_one_lost_event_is_found_and_named(tmp_path: Path):
    clock = SystemClock()
    backend = Forgetful(clock, random.Random(1))
    screen = io.StringIO()
    with View(Console(file=screen), QUICK.events, clock) as view:
        report = await perform(QUICK, view, tmp_path, backend, clock)
        view.report(report)
    assert report.exit_status == 1
    assert report.after.missing == (backend.forgotten,)
    assert report.after.accepted == QUICK.events
    assert "1 unaccounted for" in screen.getvalue()
    assert f"missing: {backend.forgotten}" in screen.getvalue()
