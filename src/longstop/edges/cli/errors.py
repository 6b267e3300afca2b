"""What goes wrong on a command line, how it is said and with which exit status."""

import sys
from collections.abc import Iterable

from longstop.model.errors import ConfigurationError, LongstopError
from longstop.model.printable import printable

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE, as a shell reports it."""


class CommandError(LongstopError):
    """The command cannot do what it was asked for."""


class UsageError(LongstopError):
    """The command line itself is wrong; the message says what was expected."""


def utf8(name: str, text: str) -> str:
    """The text that stands in `name`. Raises UsageError where it came in another encoding, and so holds surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name.rstrip('_')}: found {text!a}, which is not UTF-8; expected text in UTF-8") from None
    return text


def report(error: LongstopError) -> int:
    """Say on standard error what is wrong; the exit status."""
    if isinstance(error, ConfigurationError):
        say(error.problems)
        return FAILED
    say([f"longstop: {error}"])
    return USAGE if isinstance(error, UsageError) else FAILED


def say(lines: Iterable[str]) -> None:
    """Write lines to standard error, with nothing in them that could move a terminal's cursor.

    A text of several lines is indented from the second on: what it quotes might look like a line of ours.
    """
    for text in lines:
        sys.stderr.write("\n  ".join(map(printable, text.split("\n"))) + "\n")
