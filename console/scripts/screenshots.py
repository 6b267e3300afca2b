"""Makes the pictures of README.md and docs/console.md: `make screenshots`.

A gateway is given the night of docs/operate.md, and Debian's Chromium looks at it. Takes Playwright, as the console's
tests do.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from acceptance.night import Night, night  # noqa: E402 (of the tests)

PICTURES = ROOT / "docs" / "pictures"
SIZE = {"width": 1080, "height": 560}


def take(here: Night) -> None:
    """Take each picture."""
    refused = here.dead_of("conversation-000")["event_id"]
    pages = {"overview": "/", "dead-letters": "/dead-letters", "event": f"/events/{refused}"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(base_url=here.url, viewport=SIZE, color_scheme="dark")
        page = context.new_page()
        page.goto("/")
        # The night's 300 events: statistics are written every ten seconds.
        page.get_by_text("300", exact=True).first.wait_for(timeout=60_000)
        for name, path in pages.items():
            page.goto(path)
            page.get_by_role("heading", level=1).first.wait_for()
            page.get_by_text("live", exact=True).wait_for()
            page.wait_for_load_state("load")
            page.wait_for_timeout(1_000)
            page.screenshot(path=str(PICTURES / f"{name}.png"))
        browser.close()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        night(Path(folder), '\n[console]\nname = "production"\ncolour = "red"\n') as made,
    ):
        take(made)
