"""How soon the console shows something, in a browser, before a large store.

    python bench/ledger.py --keep --folder DIR          # the store: 11,100,000 events, 9.6 GiB, once
    python bench/console.py --folder DIR [--visits 5] [--only REGEX]

The real gateway runs on that store (bench/operators_gateway.py), and Debian's Chromium opens pages of its console, on
loopback. It takes Playwright (`pip install playwright`) and the console (`make console`). Each visit has a new browser
context, so that nothing is cached.

For each page: the first contentful paint, when the first row of its list stood there, the cumulative layout shift
without anybody's doing, and how many bytes came, all of them with the page's compression. Then, in one window, how
long it takes from the key to the rows of the next page, of the page before, and of another filter. In milliseconds,
since the navigation began; the median and the longest.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest import HERE, free_port, wait_for
from operators_gateway import Gateway, gateway, prepare

CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1280, "height": 800}
STILL_MS = 1_500
"""So long after its rows a page is watched for what moves."""
LOOK_MS = 20
TRIES = 1_500
PAGES = (
    ("overview", "/"),
    ("dead letters by cause", "/dead-letters"),
    ("dead letters, each", "/dead-letters?rows=all"),
    ("dead letters of a destination", "/dead-letters?rows=all&destination=destination-1"),
    ("dead letters of a type", "/dead-letters?rows=all&type=type-4"),
    ("dead letters of a key", "/dead-letters?rows=all&key=conversation-7"),
    ("events", "/events"),
    ("delivered", "/deliveries?state=delivered"),
    ("destinations", "/destinations"),
    ("sources", "/sources"),
    ("jobs", "/jobs"),
    ("audit", "/audit"),
)
WATCH = """
(() => {
  const told = { row: null, shift: 0 };
  window.__bench = told;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) told.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  const look = () => {
    if (told.row !== null || document.querySelector('tbody tr, .empty, h2') === null) return;
    requestAnimationFrame(() => (told.row ??= performance.now()));
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
})()
"""
TOLD = """
() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const came = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const own = came.filter(({ name }) => !name.includes('/api/'));
  return {
    paint: paint ? paint.startTime : null,
    row: window.__bench.row,
    shift: window.__bench.shift,
    bytes: own.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
  };
}
"""


@dataclass(frozen=True)
class Visit:
    """What one visit came to."""

    paint_ms: float
    row_ms: float
    shift: float
    bytes: int


def visit(browser: Any, url: str, path: str) -> Visit:
    """Open a page in a context of its own."""
    context = browser.new_context(base_url=url, viewport=SIZE)
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(path)
    _until(page, "window.__bench.row !== null")
    page.wait_for_timeout(STILL_MS)
    told = page.evaluate(TOLD)
    context.close()
    return Visit(told["paint"], told["row"], told["shift"], told["bytes"])


def measure_pages(browser: Any, running: Gateway, visits: int, only: str) -> None:
    """Visit each page, in turn, and print."""
    url = f"http://127.0.0.1:{running.admin_port}"
    wanted = [each for each in PAGES if re.search(only, each[0])]
    visit(browser, url, "/")
    found: dict[str, list[Visit]] = {name: [] for name, _ in wanted}
    for _ in range(visits):
        for name, path in wanted:
            found[name].append(visit(browser, url, path))
    print("| page | first paint ms | longest | first row ms | longest | layout shift | kB |")
    print("|---|---|---|---|---|---|---|")
    for name, each in found.items():
        print(
            f"| {name} | {_both([one.paint_ms for one in each])} | {_both([one.row_ms for one in each])} "
            f"| {max(one.shift for one in each):.3f} | {max(one.bytes for one in each) / 1000:.0f} |",
            flush=True,
        )


def measure_turns(browser: Any, running: Gateway, times: int) -> None:
    """From a key to other rows, in a list of all that is dead."""
    page = browser.new_context(base_url=f"http://127.0.0.1:{running.admin_port}", viewport=SIZE).new_page()
    page.goto("/dead-letters?rows=all")
    page.locator("tbody tr").first.wait_for()
    took: dict[str, list[float]] = {"next page": [], "page before": []}
    for _ in range(times):
        for name, key in (("next page", "n"), ("next page", "n"), ("page before", "b")):
            took[name].append(_turn(page, lambda key=key: page.keyboard.press(key)))
    print("\n| in a list of all that is dead | ms | longest |\n|---|---|---|")
    for name, each in took.items():
        print(f"| {name} | {_both(each)} |")
    page.context.close()


def _turn(page: Any, act: Callable[[], None]) -> float:
    """Milliseconds from the act to other rows, measured within the page."""
    page.evaluate(
        """() => {
          const first = () => document.querySelector('tbody tr')?.textContent ?? null;
          const before = first();
          window.__turned = null;
          let began = null;
          addEventListener('keydown', () => (began = performance.now()), { once: true, capture: true });
          const observer = new MutationObserver(() => {
            if (first() === null || first() === before) return;
            observer.disconnect();
            requestAnimationFrame(() => (window.__turned = performance.now() - began));
          });
          observer.observe(document, { childList: true, subtree: true, characterData: true });
        }"""
    )
    act()
    _until(page, "window.__turned !== null")
    return float(page.evaluate("window.__turned"))


def _until(page: Any, true: str) -> None:
    """Playwright's own way of waiting evaluates a text within the page, which the page's policy refuses."""
    for _ in range(TRIES):
        if page.evaluate(true):
            return
        page.wait_for_timeout(LOOK_MS)
    raise SystemExit(f"{page.url}: {true} did not come about")


def _both(numbers: list[float]) -> str:
    return f"{statistics.median(numbers):.0f} | {max(numbers):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where bench/ledger.py left its store (--keep)")
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--only", default="", help="the pages whose name this regular expression finds")
    options = parser.parse_args()
    if options.folder is None or not (options.folder / "backlog.db").exists():
        raise SystemExit("--folder: expected a folder with a store of bench/ledger.py (--keep --folder DIR)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("found no Playwright: pip install playwright") from None
    path = (options.folder / "backlog.db").resolve()
    asyncio.run(prepare(path))
    sink_port = free_port()
    sink = subprocess.Popen([sys.executable, str(HERE / "sink.py"), str(sink_port)])
    try:
        wait_for(sink_port)
        with gateway(path, f"http://127.0.0.1:{sink_port}/", "serve") as running, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            print(f"load average {os.getloadavg()[0]:.1f}; Chromium {browser.version}\n")
            measure_pages(browser, running, options.visits, options.only)
            measure_turns(browser, running, options.visits)
            browser.close()
    finally:
        sink.terminate()
        sink.wait(10)


if __name__ == "__main__":
    main()
