"""Logs of an embedded gateway: by the standard library's logging, quiet, and never in the way of structlog's users."""

import subprocess
import sys

PROGRAM = """
import logging, sys
{before}
from longstop.telemetry.embedded_logs import log_to_logging
import structlog
log_to_logging()
log = structlog.get_logger("longstop.http")
log.debug("hidden")
log.warning("refused", source="100%s", count=3)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
{after}
"""


def said(before: str = "", after: str = "") -> tuple[str, str]:
    """Standard output and standard error of a program of its own: logging is set up once a process."""
    program = PROGRAM.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout, done.stderr


def test_nothing_is_printed_where_the_application_has_set_nothing_up() -> None:
    assert said() == ("", "")


def test_the_applications_own_logging_gets_one_line_for_each_event_and_the_traceback() -> None:
    out, err = said('logging.basicConfig(level="INFO", format="%(name)s|%(levelname)s|%(message)s")')
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "longstop.http|WARNING|refused source=100%s count=3"
    assert lines[1] == "longstop.http|ERROR|failed"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "hidden" not in err


def test_a_record_carries_its_fields() -> None:
    before = """
class Kept(logging.Handler):
    def emit(self, record):
        print(record.longstop)
logging.getLogger("longstop").addHandler(Kept())
"""
    out, _ = said(before)
    assert out.splitlines()[0] == "{'source': '100%s', 'count': 3}"


def test_who_has_configured_structlog_gets_everything_by_that_way() -> None:
    before = "import structlog; structlog.configure(processors=[structlog.processors.JSONRenderer(sort_keys=True)])"
    out, err = said(before)
    assert '{"count": 3, "event": "refused", "source": "100%s"}' in out
    assert err == ""


def test_what_others_wrote_is_text_there_too() -> None:
    before = 'logging.basicConfig(level="INFO", format="%(message)s")'
    after = 'log.warning("refused", source="\\x1b]0;t\\x07\\u202e", why="a b\\nforged\\x9b")'
    _, err = said(before, after)
    assert err.splitlines()[-1] == 'refused source=\\x1b]0;t\\x07\\u202e why="a b\\nforged\\x9b"'
