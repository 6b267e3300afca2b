"""Logs: one event a line, on standard error. JSON where a program reads it, aligned text where a person does."""

import logging
import sys
from typing import TextIO

import structlog


def configure_logs(level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the process.

    json: None means JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    if json is None:
        json = not stream.isatty()
    # Both renderers escape control characters, so that nothing a sender writes can forge a line.
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=True)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )


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
