"""Logs within an application: through the standard library's `logging`, by loggers below `longstop`.

Quiet until the application configures `logging`. One that has configured structlog gets everything by its own way.
"""

import logging
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from longstop.model.printable import printable


def log_to_logging() -> None:
    """Send this process's log events to `logging`, unless structlog has been configured already.

    A record's message is the event with its fields as `name=value`; its attribute `longstop` is a dict of the fields.
    """
    if structlog.is_configured():
        return
    # As libraries do: without it, `logging` prints warnings on standard error where nobody has set anything up.
    logging.getLogger("longstop").addHandler(logging.NullHandler())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _as_record],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


_render = structlog.processors.LogfmtRenderer(bool_as_flag=False)


def _as_record(logger: WrappedLogger, method: str, fields: EventDict) -> tuple[tuple[str, str], dict[str, Any]]:
    """The arguments of the logger's method."""
    event = printable(str(fields.pop("event", "")))
    exc_info = fields.pop("exc_info", None)
    traceback = str(fields.pop("exception", ""))
    text = printable(str(_render(logger, method, dict(fields))))
    # Never as the format itself: a field may hold a percent sign.
    message = "\n  ".join([f"{event} {text}".rstrip(), *map(printable, traceback.split("\n") if traceback else [])])
    return ("%s", message), {"exc_info": exc_info, "extra": {"longstop": dict(fields)}}
