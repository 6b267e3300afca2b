"""What tests that start the real program share. That this file is here makes `acceptance.harness` importable."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from acceptance.harness import Site

# What is drawn is the same in every run, and may take as long as it likes: hypothesis has a test fail of which one
# example took a fifth of a second, or whose examples are slow to make.
settings.register_profile("longstop", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("longstop")
pytest_plugins = ["stores_at_hand", "s3_at_hand", "nothing_missing"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A script that runs tests in its background has them ignore Ctrl-C, and all that they start: some tests type it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A run that is told to end clears away what it has started, as after Ctrl-C.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """Logging is the process's: what one test sets up must not reach the next."""
    yield
    structlog.reset_defaults()
    for name, module in list(sys.modules.items()):
        if name.startswith("longstop.") and (log := vars(module).get("log")) is not None:
            # An application's logging has loggers keep what they were first used with.
            vars(log).pop("bind", None)


@pytest.fixture
def site(tmp_path: Path, new_store: Callable[[], str]) -> Iterator[Site]:
    """A folder, a store, a destination and free ports; every process that was started in it has ended afterwards."""
    made = Site(tmp_path, new_store())
    try:
        yield made
    finally:
        made.close()
