"""Logs: one event a line, on standard error. JSON where a program reads it, aligned text where a person does."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from longstop.model.printable import printable


def configure_logs(level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the process.

    json: None means JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    if json is None:
        json = not stream.isatty()
    # JSON escapes all but visible ASCII.
    renderers: list[Processor] = (
        [structlog.processors.JSONRenderer()] if json else [_escape, structlog.dev.ConsoleRenderer(colors=True)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )


def _escape(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """For people: a line is our own, and what others wrote in it can neither end it nor reach the terminal.

    The renderer escapes texts with blanks in them, and no others.
    """
    return {printable(str(name)): _escaped(name, value) for name, value in fields.items()}


def _escaped(name: str, value: object) -> object:
    if name == "exception":
        # Indented, because an exception's text may have lines that look like ours.
        return "\n".join(f"  {printable(line)}" for line in str(value).split("\n"))
    if value is None or isinstance(value, bool | int | float):
        return value
    return printable(value if isinstance(value, str) else repr(value))


class _Lines:
    """Writes each log line whole. A log that nobody can read any more must not fail what is logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = exception = msg
