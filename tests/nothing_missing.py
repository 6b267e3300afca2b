"""Where LONGSTOP_CI is set, nothing is skipped for want of something: of a server, a browser, a program, a package.

What a person asks for by a variable may be left out: its reason ends with "runs it", as "STRANGERS_PLANTS=all runs it".
"""

import os

import pytest

ASKED_FOR = " runs it"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fail a run that passed but for what was missing."""
    missing = [
        each for each in terminalreporter.stats.get("skipped", []) if not str(each.longrepr[2]).endswith(ASKED_FOR)
    ]
    session = terminalreporter._session
    if missing and os.environ.get("LONGSTOP_CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminalreporter.section("skipped, and LONGSTOP_CI is set: .ci/run has to install what is missing", red=True)
        for each in missing:
            terminalreporter.line(f"{each.nodeid}: {each.longrepr[2]}")
