"""Files that a person names on the command line."""

import sys
from pathlib import Path

from longstop.edges.cli.errors import CommandError, UsageError

STDIN = Path("-")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; of standard input for `-`. Raises CommandError."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        raise CommandError(f"{path} cannot be read: {reason}; expected a file, or - for standard input") from None


def refuse_option(path: Path) -> None:
    """Take nothing for a file that a person meant as an option. Raises UsageError."""
    if str(path).startswith("-") and path != STDIN:
        raise UsageError(
            f"found {path} where a file is expected; an option goes elsewhere, a file of that name is ./{path}"
        )
