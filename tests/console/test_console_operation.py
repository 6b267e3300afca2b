"""The pages of destinations, sources, jobs, the audit log and the settings, each in all of its states."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from acceptance.needs import absent
from console.outage import TOKEN, Outage, outage
from console.scene import CANARY
from console.visit import NARROW, Held, Visit

AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

PAGES = {
    "overview": "/",
    "overview of a week": "/?since=7d&source=shop",
    "destinations": "/destinations",
    "destination with an open circuit": "/destinations/erp",
    "destination that is paused": "/destinations/archive",
    "destination": "/destinations/crm",
    "sources": "/sources",
    "source": "/sources/shop",
    "source, a sample": "/sources/shop?tab=try",
    "source, refused": "/sources/shop?tab=refused",
    "source, a wrong credential": "/sources/phone?tab=refused",
    "names that no source has": "/sources/(unknown)",
    "jobs": "/jobs",
    "no jobs": "/jobs?state=failed",
    "job": "/jobs/{job}",
    "deliveries": "/deliveries?state=scheduled",
    "no deliveries": "/deliveries?key=nobody",
    "audit": "/audit",
    "empty audit": "/audit?by=nobody",
    "users": "/settings",
    "tokens": "/settings?tab=tokens",
    "sessions": "/settings?tab=sessions",
    "alerts": "/settings?tab=alerts",
    "configuration": "/settings?tab=configuration",
    "nodes": "/settings?tab=nodes",
}
ASKS = {
    "/": "statistics",
    "/destinations": "destinations",
    "/destinations/crm": "destinations/crm",
    "/sources": "sources",
    "/sources/shop": "sources/shop",
    "/sources/shop?tab=refused": "sources/shop/rejections",
    "/jobs": "jobs",
    "/jobs/{job}": "jobs/{job}",
    "/deliveries": "deliveries",
    "/audit": "audit",
    "/settings": "users",
    "/settings?tab=tokens": "tokens",
    "/settings?tab=sessions": "sessions",
    "/settings?tab=alerts": "alerts",
    "/settings?tab=configuration": "settings",
    "/settings?tab=nodes": "nodes",
}
"""Of each page, the one of its questions that a test has answered another way."""


@pytest.fixture(scope="module")
def night_of_outage(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    del browser  # Where there is none, no gateway has to be started.
    for made in outage(tmp_path_factory.mktemp("outage")):
        made.decide("jobs", action="discard", filter={"type": "order.broken"}, why="test orders")
        yield made


@pytest.fixture
def look(browser: Any, night_of_outage: Outage) -> Iterator[Visit]:
    made = Visit(browser, night_of_outage.url)
    yield made
    made.close()


def at(path: str, scene: Outage) -> str:
    """The address of a page, or of what it asks."""
    return path.format(job=scene.get("jobs")["items"][0]["id"])


def settle(page: Any) -> None:
    """Until nothing is loaded any more."""
    page.wait_for_load_state("load")
    page.get_by_role("status", name="loading").wait_for(state="detached")
    page.wait_for_timeout(400)


def answering(visit: Visit, asked: str, status: int, **said: Any) -> None:
    """What the gateway answers a question from now on."""
    visit.expected = [str(status)]
    told = json.dumps({"title": "It is so", "status": status, **said})

    def answer(route: Any) -> None:
        route.fulfill(status=status, content_type="application/problem+json", body=told)

    visit.page.route(lambda url: url.partition("?")[0].endswith(f"/api/v1/{asked}"), answer)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Any, night_of_outage: Outage, name: str, scheme: str) -> None:
    if not AXE.exists():
        absent("not installed: axe-core (npm ci in console/)")
    visit = Visit(browser, night_of_outage.url, color_scheme=scheme)
    page = visit.go(at(PAGES[name], night_of_outage))
    settle(page)
    # By the debugger, as the page's policy lets nothing else in.
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
    told = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]]
    visit.close()
    assert told == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, night_of_outage: Outage, name: str) -> None:
    visit = Visit(browser, night_of_outage.url, viewport=NARROW)
    page = visit.go(at(PAGES[name], night_of_outage))
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    visit.close()


SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map((each) => each.value)))
  .observe({type: 'layout-shift', buffered: true})"""


@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_and_no_credential_is_shown(look: Visit, night_of_outage: Outage, name: str) -> None:
    look.page.add_init_script(SHIFTS)
    page = look.go(at(PAGES[name], night_of_outage))
    settle(page)
    assert sum(page.evaluate("shifts")) < 0.01
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert TOKEN not in page.content()
    assert page.locator("body img").count() == 0
    assert page.locator("body script").count() <= 1


def test_markup_in_what_was_sent_is_text(look: Visit) -> None:
    page = look.go(f"/deliveries?key={quote(CANARY, safe='')}")
    page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    assert page.locator("body img").count() == 0


@pytest.mark.parametrize(("path", "asked"), ASKS.items())
def test_what_fails_is_said_and_asked_again(look: Visit, night_of_outage: Outage, path: str, asked: str) -> None:
    answering(look, at(asked, night_of_outage), 503, detail="the store did not answer within 2 s")
    page = look.go(at(path, night_of_outage))
    page.get_by_role("alert").get_by_text("the store did not answer within 2 s").wait_for()
    look.page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("alert").wait_for(state="detached")


@pytest.mark.parametrize(("path", "asked"), ASKS.items())
def test_who_may_not_see_it_is_told_which_scope_is_missing(
    look: Visit, night_of_outage: Outage, path: str, asked: str
) -> None:
    answering(look, at(asked, night_of_outage), 403, scope="admin")
    page = look.go(at(path, night_of_outage))
    page.get_by_role("alert").get_by_text("You may not see this").wait_for()
    page.get_by_role("alert").get_by_text("admin", exact=True).wait_for()


@pytest.mark.parametrize(("path", "asked"), ASKS.items())
def test_a_slow_answer_shows_where_rows_will_be(look: Visit, night_of_outage: Outage, path: str, asked: str) -> None:
    wanted, held = at(asked, night_of_outage), Held()
    look.page.route(lambda url: url.partition("?")[0].endswith(f"/api/v1/{wanted}"), held)
    page = look.go(at(path, night_of_outage))
    page.get_by_role("status", name="loading").wait_for()
    held.release()
    page.get_by_role("status", name="loading").wait_for(state="detached")


def test_the_keys_of_a_page_are_told(look: Visit) -> None:
    page = look.go("/destinations/crm")
    settle(page)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("pause or resume the destination").wait_for()
    dialog.get_by_text("send it a test event").wait_for()
