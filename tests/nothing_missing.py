"""Where LONGSTOP_CI is set, nothing is skipped for want of something: of a server, a browser, a program, a package.

What a person asks for by a variable may be left out: its reason ends with "runs it", as "STRANGERS_PLANTS=all runs it".
So may what no package brings: what the machine does not let its root do, Terraform.
"""

import os

import pytest

ASKED_FOR = " runs it"
NOT_LET = ("root's right", "no loop device can be mounted", "no package brings terraform")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fail a run that passed but for what was missing."""
    missing = [each for each in terminalreporter.stats.get("skipped", []) if not _may_be(str(each.longrepr[2]))]
    session = terminalreporter._session
    if missing and os.environ.get("LONGSTOP_CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminalreporter.section("skipped, and LONGSTOP_CI is set: .ci/run has to install what is missing", red=True)
        for each in missing:
            terminalreporter.line(f"{each.nodeid}: {each.longrepr[2]}")


def _may_be(reason: str) -> bool:
    return reason.endswith(ASKED_FOR) or any(each in reason for each in NOT_LET)
