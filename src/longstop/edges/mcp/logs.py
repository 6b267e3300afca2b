"""What the SDK logs stands in the gateway's own log: two kinds of lines in one stream are no JSON."""

import contextlib
import logging
from collections.abc import Iterator

import structlog

log = structlog.get_logger("longstop.mcp")


class _OurLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.warning("mcp_server", said=record.getMessage().strip(), exc_info=record.exc_info)


@contextlib.contextmanager
def logging_as_one() -> Iterator[None]:
    """Within it the SDK's server is made, which would set up the logging of the whole process, with the locals of
    frames in the terminal's width."""
    logger, root = logging.getLogger("mcp"), logging.getLogger()
    if not any(isinstance(handler, _OurLog) for handler in logger.handlers):
        logger.addHandler(_OurLog(logging.WARNING))
    logger.propagate = False
    handlers, level = tuple(root.handlers), root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
        root.setLevel(level)
