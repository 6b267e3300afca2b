"""A real browser before a real gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.needs import absent, needs
from console.scene import Scene, night
from console.visit import Visit

CHROMIUM = "/usr/bin/chromium"
STATIC = Path(__file__).parents[2] / "src" / "longstop" / "edges" / "operators" / "static"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright. While it is there, a loop runs in this thread: tests have theirs."""
    needs(CHROMIUM)
    if not (STATIC / "index.html").exists():
        absent("the console is not built: make console")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("not installed: playwright (pip install playwright)")
    with sync_playwright() as playwright:
        # Root, as CI is, has no sandbox to give; the pages are our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def quiet_night(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A gateway whose failures have happened, for tests that only look."""
    del browser  # Where there is none, no gateway has to be started.
    yield from night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def own_night(browser: Any, tmp_path: Path) -> Iterator[Scene]:
    """One of its own, for a test that changes things."""
    del browser  # Where there is none, no gateway has to be started.
    yield from night(tmp_path)


@pytest.fixture
def visit(browser: Any, quiet_night: Scene) -> Iterator[Visit]:
    """A window before the quiet night."""
    made = Visit(browser, quiet_night.url)
    yield made
    made.close()


@pytest.fixture
def changing(browser: Any, own_night: Scene) -> Iterator[Visit]:
    """A window before the night of this test."""
    made = Visit(browser, own_night.url)
    yield made
    made.close()
