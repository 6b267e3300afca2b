"""Starting servers that end when the test run does, however it ends: a killed run leaves none behind.

Linux tells a child of its parent's end (prctl(2), PR_SET_PDEATHSIG), and takes the thread that made it for the parent.
So one thread makes them all, and lives as long as the run.
"""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_MAKER = ThreadPoolExecutor(1, "child-servers")


def ending_with_us(last: signal.Signals = signal.SIGKILL) -> list[str]:
    """What a command line begins with that is to get this signal when the run is over; nothing where there is none."""
    program = shutil.which("setpriv")
    return [program, f"--pdeathsig={last.name.removeprefix('SIG')}"] if program else []


def spawn(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start it; as subprocess.Popen, from the thread that lives as long as the run."""
    return _MAKER.submit(subprocess.Popen, command, **options).result()
