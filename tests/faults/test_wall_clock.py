"""The machine's own clock is wrong and is put right while the gateway runs: the real program, under libfaketime.

`FAKETIME_TIMESTAMP_FILE` is what its clock is off by, read anew each time; the rising clock stays the machine's.
"""

import glob
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.harness import Process, Site, wait_until

LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib*/faketime/libfaketimeMT.so.1")

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (package libfaketime)")

SetClock = Callable[[str], None]


def started(site: Site, by: str, role: str = "serve") -> tuple[Process, SetClock]:
    """A gateway whose clock is off by so much from its start, until the returned function sets it."""
    off: Path = site.folder / "off"

    def set_clock(by: str) -> None:
        # In one step: the program may read it at any moment.
        new = off.with_suffix(".new")
        new.write_text(by)
        new.replace(off)

    set_clock(by)
    site.within = (
        "env",
        f"LD_PRELOAD={LIBRARIES[0]}",
        f"FAKETIME_TIMESTAMP_FILE={off}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    )
    return site.start(role), set_clock


def jumps(gateway: Process) -> list[float]:
    """By how many seconds it has found its clock set, each time."""
    whole = gateway.err.rpartition("\n")[0].splitlines()
    return [json.loads(line)["by_s"] for line in whole if '"clock_jumped"' in line]


def body(number: int) -> bytes:
    return b'{"id": "c-%d", "type": "order", "customer": "ada"}' % number


@pytest.mark.parametrize(("wrong", "by_s"), [("+6h", -6 * 3_600), ("-6h", 6 * 3_600), ("+365d", -365 * 86_400)])
def test_what_was_accepted_by_a_wrong_clock_is_delivered_when_it_is_put_right(
    site: Site, wrong: str, by_s: int
) -> None:
    site.destination.down()
    gateway, set_clock = started(site, wrong)
    gateway.ready()
    ids = [site.accept("shop", body(number)) for number in range(3)]
    wait_until(lambda: all(site.delivery(id_)["attempts"] for id_ in ids), "each to be tried")
    set_clock("+0")
    # It reads one clock after the other, and a busy machine lets it wait in between, which may look like a jump too.
    wait_until(lambda: any(abs(each - by_s) < 60 for each in jumps(gateway)), "the jump to be noticed")
    site.destination.up()
    for id_ in ids:
        site.wait_for_state(id_, "delivered")
    assert not site.ask("dead", "list").rows


def test_what_was_accepted_before_a_restart_by_a_clock_that_was_ahead_is_delivered_in_order(site: Site) -> None:
    gateway, _ = started(site, "+365d", "ingest")
    gateway.ready()
    first = [site.accept("shop", body(number)) for number in range(3)]
    gateway.stop()
    site.within = ()
    site.serve()
    later = [site.accept("shop", body(number)) for number in range(3, 6)]
    for id_ in (*first, *later):
        site.wait_for_state(id_, "delivered")
    assert [*first, *later] == sorted([*first, *later]), "ids go on rising: they are the order"
