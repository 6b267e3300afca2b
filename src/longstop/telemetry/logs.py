"""Logs: one event a line, on standard error. JSON where a program reads it, aligned text where a person does."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from longstop.model.printable import printable
from longstop.model.times import rfc3339

_TIMES = ("_at_ms", "from_ms", "to_ms")
"""How the names of fields end that are Unix times."""


def configure_logs(level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the process.

    json: None means JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    if json is None:
        json = not stream.isatty()
    # JSON escapes all but visible ASCII.
    renderers: list[Processor] = (
        [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%SZ", utc=True),
            _readable_times,
            _escape,
            structlog.dev.ConsoleRenderer(colors=True),
        ]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            # As text, before any renderer: some show the locals of each frame, and with them bodies and secrets.
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )


def log_of_command() -> None:
    """Set up logging for a command that looks or decides: warnings, on standard error, where its output is not."""
    if not structlog.is_configured():
        configure_logs("warning")


def _readable_times(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """For people: `due_at=2026-01-31T09:30:00Z` in the place of `due_at_ms=1769851800000`."""
    return dict(_readable(name, value) for name, value in fields.items())


def _readable(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, int) and name.endswith(_TIMES):
        return name.removesuffix("_ms"), f"{rfc3339(value)[:19]}Z"
    return name, value


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
