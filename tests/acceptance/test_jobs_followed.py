"""Jobs from a terminal, over the real program: the bar, Ctrl-C, and a command that is killed while it does the work."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from acceptance.harness import LIMIT_S, Site, environment, wait_until
from longstop.config import load_for_store
from longstop.model.delivery import DeadReason, State
from longstop.testing.builders import AT_MS, make_append
from longstop.wiring.stores import make_store


def fill(site: Site, count: int) -> None:
    """So many dead deliveries for `crm`."""
    asyncio.run(_fill(site, count))


async def _fill(site: Site, count: int) -> None:
    store = make_store(load_for_store(site.config, environ=environment()).store)
    await store.open()
    for start in range(1, count + 1, 1_000):
        await store.append([_dead(number) for number in range(start, min(start + 1_000, count + 1))])
    await store.close()


def _dead(number: int) -> Any:
    made = make_append(number, key=f"conversation-{number}", received_at_ms=AT_MS + number)
    gone: dict[str, Any] = {"state": State.DEAD, "reason": DeadReason.REJECTED, "attempts": 1, "last_status": 422}
    return replace(
        made, deliveries=(replace(made.deliveries[0], ended_at_ms=AT_MS + number + 1, last_error="no", **gone),)
    )


def on_a_terminal(site: Site, *words: str) -> tuple["subprocess.Popen[bytes]", int]:
    """A command whose standard error is a terminal, and that terminal."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "longstop", *words, "--config", str(site.config)]
    env = environment(TERM="xterm", COLUMNS="120")
    command = subprocess.Popen(line, cwd=site.folder, env=env, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    return command, ours


def shown(terminal: int, until: bytes | None = None) -> bytes:
    """What is shown there until this is among it; without it until nobody writes there any more."""
    text, end_s = b"", time.monotonic() + LIMIT_S
    while until is None or until not in text:
        waits = select.select([terminal], [], [], max(0.0, end_s - time.monotonic()))[0]
        assert waits, f"waited {LIMIT_S:g} s in vain; it showed {text!r}"
        try:
            text += os.read(terminal, 65_536)
        except OSError:
            assert until is None, f"{until!r} is not among {text!r}"
            break
    return text


def counts(site: Site) -> dict[str, int]:
    rows = site.ask("status").row["destinations"]
    (row,) = (each for each in rows if each["destination"] == "crm")
    return {state: row[state] for state in ("dead", "scheduled", "leased", "delivered")}


@pytest.mark.also_on_aws
def test_ctrl_c_leaves_it_to_the_gateway(site: Site) -> None:
    fill(site, 60)
    site.serve()
    # It cannot come to its end before somebody has looked at it.
    site.ask("pause", "crm", "--why", "a look at the job")
    following, terminal = on_a_terminal(site, "replay", "--all", "--rate", "20/s")
    shown(terminal, until=b"replayed by job ")
    following.send_signal(signal.SIGINT)
    said = shown(terminal)
    os.close(terminal)
    following.communicate(timeout=LIMIT_S)
    assert following.returncode == 130
    assert b"stays as it is in the store: a gateway that delivers goes on with it" in said
    (job,) = site.ask("jobs", "list").rows
    assert job["state"] == "running"
    site.ask("resume", "crm")
    wait_until(lambda: site.ask("jobs", "show", job["id"][-8:]).row["state"] == "done", "the job's end")
    wait_until(lambda: counts(site)["delivered"] == 60, "all of it")
    assert set(Counter(each.webhook_id for each in site.destination.arrivals).values()) == {1}


@pytest.mark.also_on_aws
def test_on_a_terminal_there_is_a_bar(site: Site) -> None:
    fill(site, 40)
    site.serve()
    following, terminal = on_a_terminal(site, "replay", "--all", "--rate", "20/s")
    bar = shown(terminal)
    os.close(terminal)
    out, _ = following.communicate(timeout=LIMIT_S)
    assert (following.returncode, out) == (0, b"40 replayed\n")
    assert b"replayed by job " in bar
    assert b"/40" in bar


SLOWLY = """
import asyncio
from longstop.operating.job_work import JobWork
turn = JobWork.turn
async def slowly(self):
    await asyncio.sleep(0.1)
    return await turn(self)
JobWork.turn = slowly
"""
"""It takes 40 at a turn: with this, there are seconds between a part of 4,000 and all of them."""


def test_a_command_that_is_killed_at_it_is_gone_on_with(site: Site) -> None:
    """Without a gateway the command carries the job out itself; another one goes on exactly where it was."""
    fill(site, 4_000)
    words = ["longstop", "replay", "--all", "--config", str(site.config)]
    program = f"{SLOWLY}\nimport sys\nsys.argv = {words!r}\nfrom longstop.__main__ import main\nsys.exit(main())"
    first = site.run_in_background([sys.executable, "-c", program], "replay")
    wait_until(lambda: counts(site)["scheduled"] >= 500, "a part of it", limit_s=120)
    first.kill()
    (job,) = site.ask("jobs", "list").rows
    stood = counts(site)
    assert (job["state"], job["done"]) == ("running", stood["scheduled"]), "count and deliveries changed together"
    assert stood["dead"] == 4_000 - job["done"] > 0
    done = site.ask("jobs", "resume", job["id"][-8:]).row
    assert (done["state"], done["done"], done["skipped"]) == ("done", 4_000, 0)
    assert counts(site)["scheduled"] == 4_000
