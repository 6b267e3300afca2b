"""What a test needs of the machine beside Python: missing, it is skipped; where everything is to be there, it fails.

`.ci/run` installs the programs and sets LONGSTOP_CI, so that no test can go missing there unnoticed.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

EVERYTHING = "LONGSTOP_CI"
"""Set where all that tests need has been installed."""


def needs(*wanted: str) -> None:
    """Go on where all of these are there: programs by name, files by absolute path. Skip or fail where not."""
    missing = [each for each in wanted if not (Path(each).exists() if "/" in each else shutil.which(each))]
    if missing:
        absent(f"not installed: {', '.join(missing)}")


def absent(reason: str) -> NoReturn:
    """Skip the test, which cannot be run here; fail it where it has to be."""
    if os.environ.get(EVERYTHING):
        pytest.fail(f"{reason}; {EVERYTHING} is set, so it has to be there: see .ci/run")
    pytest.skip(reason)
