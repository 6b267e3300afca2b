"""What strangers and bad neighbours cost a quiet source, and the gateway in memory: a table, in Markdown.

    python bench/strangers.py [--seconds 4] [--only TEXT]

Each attack meets a gateway that has just started. The quiet one posts a signed event of 1 KB, waits for the answer,
and posts the next. Where there are two cores, the gateway has one and the load the other. The attacks are those of
tests/faults/test_strangers.py.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from acceptance.harness import Site
from faults.quiet import Seen, attacked
from faults.strangers import ATTACKS


def measured(name: str, seconds: float) -> Seen:
    """One attack on a gateway in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            return attacked(site, name, seconds)
        finally:
            site.close()


def row(seen: Seen) -> str:
    under = seen.under
    events, refused = len(under.each), seen.refused.total()
    waits = f"{under.p50_ms:.1f} | {under.p99_ms:.1f} | {seen.worst_ms:.0f}"
    return f"| {seen.attack} | {waits} | {events} | {refused} | {seen.peak_mb:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default="", help="attacks whose names have this in them")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {options.seconds:g} s each\n")
    print("| attack | p50 ms | p99 ms | worst ms | events of the quiet one | refused | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for name in ATTACKS:
        if options.only in name:
            print(row(measured(name, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
