"""Standard input, output and error, where a supervisor starts the program without them.

The numbers 0 to 2 go to whatever is opened next. A database or a socket under one of them would be written to by
every message for people, so the null device is put there before anything else is opened.
"""

import os
import sys


def fill() -> None:
    """Put the null device in the place of each standard stream that is closed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is given out, and all below are taken by now: it is this one.
            opened = os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            assert opened == descriptor, f"expected descriptor {descriptor}, got {opened}"
            # As the real ones: a handler's process gets them too.
            os.set_inheritable(opened, True)
    # Python has None for a stream whose descriptor was closed when it started.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
