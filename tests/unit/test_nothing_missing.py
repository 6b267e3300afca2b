"""A run of the tests in which something was missing: it passes, and fails where everything has to be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NEEDS_A_SERVER = """
import pytest

def test_good() -> None:
    pass

@pytest.mark.skip(reason="no redis-server here")
def test_needing() -> None:
    pass
"""


def run(folder: Path, text: str, ci: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nothing_missing", "-c", os.devnull, "--rootdir", ".", "."]
    environ = {**os.environ, "PYTHONPATH": str(TESTS), "LONGSTOP_CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout


def test_a_run_that_misses_something_fails_where_everything_has_to_be_there(tmp_path: Path) -> None:
    assert run(tmp_path, NEEDS_A_SERVER, ci="")[0] == pytest.ExitCode.OK
    code, said = run(tmp_path, NEEDS_A_SERVER, ci="1")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "test_it.py: Skipped: no redis-server here" in said.replace("::test_needing", "")


@pytest.mark.parametrize("reason", ["CYCLES=all runs it", "needs root's right to mount"])
def test_what_is_run_when_asked_for_or_not_allowed_may_be_left_out(tmp_path: Path, reason: str) -> None:
    text = NEEDS_A_SERVER.replace("no redis-server here", reason)
    assert run(tmp_path, text, ci="1")[0] == pytest.ExitCode.OK
