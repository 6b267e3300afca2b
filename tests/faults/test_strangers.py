"""Strangers and bad neighbours beside a quiet source: what they send delays it by little, and fills no memory.

Each attack is a run against the real program, on a core of its own where there are two. All bounds are ratios to the
same gateway's calm just before, with floors, so that a slow machine is no failure. The first attack is none: that the
bounds hold there is what the others are measured by. Who breaks one is attacked once more, anew.
"""

import os
from pathlib import Path

import pytest

from acceptance.harness import Site
from faults.quiet import Seen, attacked
from faults.strangers import ATTACKS

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc for memory and descriptors")

SECONDS = float(os.environ.get("STRANGERS_SECONDS", "2"))
P99_MS, WORST_MS = 50.0, 250.0
"""What no stranger may delay the quiet one by, wherever the machine is quick enough for it; else these ratios."""
TIMES_CALM = 8
ROUNDS = 3
"""A disk or a machine that stands still for a moment does so once; what a stranger does to a gateway it does again."""
CROWDED_MAX = 4.0
"""Where the program shares its core with others, it is allowed for, up to this."""
GROWTH_MB = 60.0
WITH_LARGE_BODIES_MB = 160.0
LARGE_BODIES = ("twilio", "slack", "byoc", "standard-webhooks", "stripe", "unknown")
HOLDING = ("180 unfinished", "30 slow", "signed")
HOLDS_MB = 330.0
"""Bodies of all senders that are not there yet may hold this much together; and of somebody who has a source's secret,
those that are there, twice: here and on their way to the process that reads them."""
TAKEN_MB = 80.0
"""Of one connection, and of one answer: what is refused is read on for a while, so that the answer can be read."""


def broken(seen: Seen) -> list[str]:
    """The bounds that an attack broke."""
    calm, under = seen.calm, seen.under
    crowded = min(seen.crowded, CROWDED_MAX)
    growth = HOLDS_MB if seen.attack.startswith(HOLDING) else GROWTH_MB
    growth = WITH_LARGE_BODIES_MB if seen.attack.startswith(LARGE_BODIES) else growth
    bounds = {
        "p99 ms": (under.p99_ms, max(crowded * P99_MS, TIMES_CALM * calm.p99_ms)),
        "worst ms": (seen.worst_ms, max(crowded * WORST_MS, TIMES_CALM * calm.worst_ms)),
        "events of the quiet one that were refused": (seen.refused.total(), 0),
        "peak memory MB": (seen.grown_mb, growth),
        "MB taken of each connection": (seen.taken_mb, TAKEN_MB),
        "descriptors left open": (seen.descriptors[1] - seen.descriptors[0], 3),
    }
    return [f"{name}: {found:.0f}, at most {bound:.0f}" for name, (found, bound) in bounds.items() if found > bound]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_quiet_one_is_hardly_delayed_and_memory_stays(name: str, site: Site) -> None:
    for _ in range(ROUNDS):
        seen = attacked(site, name, SECONDS)
        # Seen with -s, and where it fails.
        print(seen)
        if not broken(seen):
            return
    pytest.fail(str(broken(seen)))
