"""Who decides: whoever has the store's file before him may all that is possible with it."""

import getpass
import os

from longstop.edges.cli.errors import utf8
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind


def caller() -> Caller:
    """Who decides, as services know him."""
    return Caller(person(), CallerKind.CLI, ALL_SCOPES)


def person() -> str:
    """Who decides: LONGSTOP_USER, or the user of the operating system. Raises UsageError where that is no text."""
    named = os.environ.get("LONGSTOP_USER", "").strip()
    if named:
        return utf8("LONGSTOP_USER", named)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"
