"""What goes wrong on a command line, how it is said and with which exit status."""

import sys
from collections.abc import Iterable

from longstop.model.errors import ConfigurationError, LongstopError

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


def report(error: LongstopError) -> int:
    """Say on standard error what is wrong; the exit status."""
    if isinstance(error, ConfigurationError):
        say(error.problems)
        return FAILED
    say([f"longstop: {error}"])
    return USAGE if isinstance(error, UsageError) else FAILED


def say(lines: Iterable[str]) -> None:
    """Write lines to standard error, with nothing in them that could move a terminal's cursor."""
    for text in lines:
        for line in text.split("\n"):
            sys.stderr.write(f"{printable(line)}\n")


def printable(text: str) -> str:
    """Text without control characters: each is written as its escape, `\\x1b`.

    What a sender puts into an event ends up on the operator's terminal, where an escape sequence can forge
    lines, retitle the window or answer in the operator's name. Line breaks and marks that turn the direction of
    writing are escaped too.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
