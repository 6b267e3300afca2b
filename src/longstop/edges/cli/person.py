"""Who decides."""

import getpass
import os


def person() -> str:
    """Who decides: LONGSTOP_USER, or the user of the operating system."""
    named = os.environ.get("LONGSTOP_USER", "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"
