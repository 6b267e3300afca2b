"""The overview: what it says to whoever is woken, and to whoever has just started."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import Site
from console.outage import Outage, outage
from console.visit import Visit
from redis_server import RedisServer


@pytest.fixture(scope="module")
def awake(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    del browser  # Where there is none, no gateway has to be started.
    yield from outage(tmp_path_factory.mktemp("awake"))


@pytest.fixture
def look(browser: Any, awake: Outage) -> Iterator[Visit]:
    made = Visit(browser, awake.url)
    yield made
    made.close()


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def counter(page: Any, name: str) -> Any:
    return page.locator(".counters div").filter(has=page.get_by_text(name, exact=True)).get_by_role("link").first


def reads(page: Any, name: str, count: int) -> None:
    """Until the counter says this: what it said before stands there while it is loaded anew."""
    counter(page, name).filter(has_text=re.compile(rf"^{count}$")).wait_for()


def test_it_says_first_what_is_wrong_since_when_how_many_and_leads_there(look: Visit) -> None:
    page = look.go("/")
    wrong = page.get_by_role("region", name="what is wrong now")
    erp = wrong.locator("p").filter(has_text="erp").first
    erp.wait_for()
    assert re.search(r"its circuit is open: .*; 5 deliveries wait", erp.inner_text()), erp.inner_text()
    assert erp.locator("time").count() == 1
    wrong.get_by_text("paused by tester: “moving to the new bucket”; 4 deliveries wait").wait_for()
    erp.get_by_role("link").click()
    page.get_by_role("heading", name="erp").wait_for()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("accepted", ""),
        ("delivered", ""),
        ("dead", ""),
        ("unrouted", ""),
        ("accepted", "door"),
        ("dead, all sources", "door"),
        ("unrouted, all sources", "door"),
    ],
)
def test_every_number_leads_to_the_list_that_it_counts(look: Visit, name: str, source: str) -> None:
    page = look.go(f"/?source={source}" if source else "/")
    link = counter(page, name)
    link.wait_for()
    told = number(link.inner_text())
    link.click()
    if name.startswith("dead"):
        page.get_by_role("link", name="each").click()
    page.get_by_role("row").nth(told).wait_for()
    assert page.get_by_role("row").count() == told + 1


def test_the_backlog_leads_to_all_that_waits(look: Visit) -> None:
    page = look.go("/")
    link = page.locator("p.backlog").get_by_role("link").first
    link.wait_for()
    told = number(link.inner_text())
    assert told >= 9, "of two destinations"
    link.click()
    page.get_by_role("table", name="deliveries").get_by_role("row").nth(told).wait_for()
    assert page.get_by_role("row").count() == told + 1


@pytest.mark.parametrize("source", [None, "shop"])
def test_failed_attempts_lead_to_those_of_each_destination(look: Visit, source: str | None) -> None:
    page = look.go(f"/?since=24h&source={source}" if source else "/?since=24h")
    link = counter(page, "failed attempts")
    link.wait_for()
    told = number(link.inner_text())
    assert told > 0
    link.click()
    page.get_by_role("heading", name="Destinations").wait_for()
    failed = page.locator("td[title='attempts that failed']")
    failed.first.wait_for()
    # Another ten seconds may have been counted meanwhile.
    assert sum(number(each) for each in failed.all_inner_texts()) >= told
    assert page.get_by_role("button", name="All sources").count() == (1 if source else 0)


def test_what_waits_for_a_destination_is_listed(look: Visit) -> None:
    page = look.go("/")
    row = page.get_by_role("table", name="destinations").get_by_role("row").filter(has_text="erp")
    row.get_by_role("link", name="5").click()
    page.get_by_role("table", name="deliveries").get_by_role("row").nth(5).wait_for()
    assert "state=scheduled" in page.url
    assert "destination=erp" in page.url
    page.get_by_text("the circuit is open").first.wait_for()


def test_a_drag_over_the_plot_is_the_range_of_the_page_and_stands_in_its_address(look: Visit, browser: Any) -> None:
    page = look.go("/")
    plot = page.locator(".u-over")
    plot.wait_for()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("since=.*until="))
    page.get_by_role("button", name="custom", pressed=True).wait_for()
    # Nothing had come then: every panel says so.
    reads(page, "accepted", 0)
    other = Visit(browser, look.url)
    shown = other.go(page.url.removeprefix(look.url))
    shown.get_by_role("button", name="custom", pressed=True).wait_for()
    reads(shown, "accepted", 0)
    other.close()
    page.go_back()
    page.get_by_role("button", name="1h", pressed=True).wait_for()


def test_the_pointer_reads_the_numbers_of_a_step(look: Visit) -> None:
    page = look.go("/")
    plot = page.locator(".u-over")
    plot.wait_for()
    page.get_by_text("drag to zoom").wait_for()
    plot.hover(position={"x": 200, "y": 40})
    page.get_by_text(re.compile(r"\d\d:\d\d, 1 min$")).wait_for()


def test_a_source_may_be_chosen(look: Visit) -> None:
    page = look.go("/")
    counter(page, "accepted").wait_for()
    page.get_by_role("combobox", name="source").select_option("door")
    page.wait_for_url(re.compile("source=door"))
    page.get_by_role("table", name="sources").get_by_role("row").nth(2).wait_for(state="detached")
    reads(page, "accepted", 5)


def test_who_has_just_started_is_told_what_to_post_and_sees_it_come(browser: Any, tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.config.unlink()
        assert site.cli("init").exit == 0
        text = site.config.read_text().replace("port = 8080", f"port = {site.port}", 1)
        site.config.write_text(text.replace("admin_port = 8081", f"admin_port = {site.admin_port}"))
        site.serve()
        visit = Visit(browser, f"http://127.0.0.1:{site.admin_port}")
        page = visit.go("/")
        command = page.get_by_role("region", name="first steps").locator("pre").inner_text()
        assert command.startswith("curl ")
        subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=30)
        page.get_by_role("region", name="what is wrong now").get_by_text("Nothing is wrong now.").wait_for()
        page.get_by_role("table", name="sources").get_by_role("row").filter(has_text="hello").wait_for()
        for path, said in (
            ("/dead-letters", "No dead letters."),
            ("/jobs", "No jobs yet."),
            ("/deliveries?state=dead", "No delivery is dead."),
        ):
            visit.go(path).get_by_text(said).wait_for()
        visit.close()
    finally:
        site.close()


def test_what_the_store_warns_of_is_said(browser: Any, tmp_path: Path, redis_server: RedisServer) -> None:
    site = Site(tmp_path, f"redis://127.0.0.1:{redis_server.port}?durability=relaxed&prefix=overview")
    try:
        site.serve()
        visit = Visit(browser, f"http://127.0.0.1:{site.admin_port}")
        wrong = visit.go("/").get_by_role("region", name="what is wrong now")
        said = re.compile(r"may be lost in a crash, for Redis has appendonly no")
        wrong.get_by_text(said).wait_for()
        wrong.get_by_role("link", name="the store").click()
        visit.page.get_by_role("table", name="nodes").wait_for()
        assert said.search(visit.page.locator("dl.facts").inner_text())
        visit.close()
    finally:
        site.close()
