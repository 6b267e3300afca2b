"""What the console's pages show of a gateway whose deliveries have failed: each looked at, nothing changed."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from acceptance.needs import absent
from console.scene import CANARY, HELD_KEY, MENDABLE, Scene
from console.visit import NARROW, Held, Visit

AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def event_of(scene: Scene, type_: str) -> str:
    """The id of an event of this type."""
    return str(next(each["id"] for each in scene.get("events?limit=500")["items"] if each["type"] == type_))


PAGES = {
    "dead letters by cause": "/dead-letters",
    "dead letters": "/dead-letters?destination=crm&rows=all",
    "no dead letter": "/dead-letters?key=nobody",
    "events": "/events",
    "event": "/events/{event}",
    "event in raw": "/events/{event}?tab=raw",
    "event's headers": "/events/{event}?tab=headers",
    "event as sent": "/events/{event}?tab=sent",
    "event as curl": "/events/{event}?tab=curl",
    "event's editor": "/events/{event}?tab=edit",
    "conversation": "/conversations/{key}",
    "conversations": "/conversations",
}


def path_of(name: str, scene: Scene, type_: str = MENDABLE, key: str = HELD_KEY) -> str:
    """The address of a page, for an event of this type and a conversation of this key."""
    return PAGES[name].format(event=event_of(scene, type_), key=quote(key, safe=""))


def settle(page: Any) -> None:
    """Until nothing is loaded any more."""
    page.wait_for_load_state("load")
    page.get_by_role("status", name="loading").wait_for(state="detached")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Any, quiet_night: Scene, name: str, scheme: str) -> None:
    if not AXE.exists():
        absent("not installed: axe-core (npm ci in console/)")
    visit = Visit(browser, quiet_night.url, color_scheme=scheme)
    page = visit.go(path_of(name, quiet_night))
    settle(page)
    # By the debugger, as the page's policy lets nothing else in.
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
    told = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]]
    visit.close()
    assert told == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, quiet_night: Scene, name: str) -> None:
    visit = Visit(browser, quiet_night.url, viewport=NARROW)
    # The second has long names without a blank wherever a sender has the word.
    for address in dict.fromkeys((path_of(name, quiet_night), path_of(name, quiet_night, CANARY, CANARY))):
        page = visit.go(address)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
    visit.close()


def test_a_phone_shows_when_the_dead_letters_of_a_cause_died(browser: Any, quiet_night: Scene) -> None:
    visit = Visit(browser, quiet_night.url, viewport=NARROW)
    page = visit.go("/dead-letters")
    page.get_by_role("img", name=re.compile("^7 of 7 in the last 24 h")).wait_for()
    page.get_by_role("button", name="7d", exact=True).click()
    page.get_by_role("img", name=re.compile("^7 of 7 in the last 7 d")).wait_for()
    visit.close()


def test_where_it_runs_stands_in_the_header_and_in_the_tab(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    assert page.title() == "night shift · Dead letters · Longstop"
    place = page.get_by_role("banner").get_by_text("night shift")
    place.wait_for()
    assert place.evaluate("getComputedStyle(document.querySelector('header')).borderTopColor") == "rgb(106, 60, 189)"


def test_dead_letters_are_grouped_by_cause_and_each_cause_leads_to_its_rows(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    rows = page.get_by_role("table", name="dead letters by cause").get_by_role("row")
    rows.nth(1).wait_for()
    first = rows.nth(1)
    assert re.match(r"9\s*crm\s*exhausted\s*HTTP 500", first.inner_text().replace("\t", " "))
    first.get_by_text("no customer").wait_for()
    first.get_by_role("link", name="HTTP 500").click()
    page.get_by_role("table", name="dead letters").get_by_role("row").nth(9).wait_for()
    assert "destination=crm" in page.url
    assert "status=500" in page.url
    assert page.get_by_role("row").count() == 10
    page.get_by_role("button", name="Select all 9 that match").wait_for()


def test_a_link_shows_the_same_to_whoever_opens_it(browser: Any, visit: Visit) -> None:
    page = visit.go("/dead-letters")
    page.get_by_label("add a filter").select_option("destination")
    page.get_by_label("destination", exact=True).fill("billing")
    page.keyboard.press("Enter")
    page.get_by_label("add a filter").select_option("type")
    page.get_by_label("type", exact=True).fill("order.broken")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("type=order.broken"))
    page.get_by_role("row").nth(7).wait_for()
    other = Visit(browser, visit.url)
    shown = other.go(page.url.removeprefix(visit.url))
    shown.get_by_role("row").nth(7).wait_for()
    assert shown.get_by_role("row").count() == page.get_by_role("row").count() == 8
    assert (
        shown.get_by_role("group", name="filters").inner_text()
        == page.get_by_role("group", name="filters").inner_text()
    )
    page.go_back()
    page.wait_for_url(re.compile(r"destination=billing$"))
    other.close()


def test_the_keyboard_alone_leads_from_the_causes_to_an_event_and_its_conversation(
    visit: Visit, quiet_night: Scene
) -> None:
    page = visit.go("/events")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.get_by_role("row").nth(1).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("table", name="dead letters", exact=True).get_by_role("row").nth(1).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_text("1 selected").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="order.broken").wait_for()
    page.keyboard.press("c")
    page.wait_for_url(re.compile("/conversations/order-"))
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type(event_of(quiet_night, MENDABLE)[-8:])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=MENDABLE).wait_for()


def test_enter_presses_what_the_focus_is_on_wherever_there_is_a_list(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    page.get_by_role("row").nth(1).get_by_role("button", name="Replay").press("Enter")
    panel = page.get_by_role("region", name="Replay deliveries")
    panel.get_by_role("button", name="Cancel").press("Enter")
    panel.wait_for(state="detached")
    page.get_by_role("row").nth(1).get_by_role("button", name="Replay").press("Enter")
    panel.wait_for()
    page.get_by_role("link", name="each").focus()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    page.get_by_role("button", name="local").press("Enter")
    page.get_by_role("group", name="Theme").wait_for()
    page.get_by_role("row").nth(1).get_by_role("link").press("Enter")
    page.wait_for_url(re.compile("status=500"))
    page.get_by_role("row").nth(1).get_by_role("link").nth(1).press("Enter")
    page.wait_for_url(re.compile("/conversations/"))
    page.get_by_role("navigation", name="pages").get_by_role("link", name="Events").press("Enter")
    page.get_by_role("heading", name="Events", exact=True).wait_for()


def test_the_keys_lead_through_both_lists_of_the_overview(visit: Visit) -> None:
    page = visit.go("/")
    links = page.locator("main tbody a.main")
    page.get_by_role("table", name="sources").get_by_role("row").nth(1).wait_for()
    for at in range(links.count()):
        page.keyboard.press("j")
        assert links.nth(at).evaluate("each => each === document.activeElement"), at
    page.get_by_role("table", name="destinations").get_by_role("link", name="billing").press("Enter")
    page.wait_for_url(re.compile("/destinations/billing"))


def test_a_panel_that_is_left_gives_the_focus_back(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    page.get_by_role("row").nth(2).wait_for()
    for key in ("j", "j", "r"):
        page.keyboard.press(key)
    page.get_by_role("region", name="Replay deliveries").get_by_label("Why").press("Escape")
    page.get_by_role("region", name="Replay deliveries").wait_for(state="detached")
    assert page.get_by_role("row").nth(2).locator("a.main").evaluate("each => each === document.activeElement")
    page.goto("/destinations/crm")
    page.get_by_role("heading", name="crm").wait_for()
    pause = page.get_by_role("button", name="Pause")
    pause.press("Enter")
    page.get_by_role("form", name="Pause").get_by_label("Why").press("Escape")
    page.get_by_role("form", name="Pause").wait_for(state="detached")
    assert pause.evaluate("each => each === document.activeElement")


def test_the_page_behind_the_list_of_keys_hears_none(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    page.get_by_role("row").nth(1).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("?")
    for key in "rge":
        page.keyboard.press(key)
    page.get_by_role("dialog").get_by_role("button", name="Close").press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    assert page.url.endswith("/dead-letters")
    assert page.get_by_role("region", name="Replay deliveries").count() == 0


def test_where_the_focus_is_can_be_seen(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    page.get_by_role("row").nth(1).wait_for()
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        what = page.evaluate("document.activeElement.outerHTML.slice(0, 100)")
        if page.evaluate("document.activeElement !== document.body"):
            assert width != "0px", what
            seen.add(what)
    assert len(seen) > 15


def test_an_event_tells_what_happened_and_what_it_was_answered(visit: Visit, quiet_night: Scene) -> None:
    page = visit.go(f"/events/{event_of(quiet_night, MENDABLE)}")
    happened = page.get_by_role("region", name="what happened")
    happened.get_by_text("received").wait_for()
    happened.get_by_text("expected a number, found").wait_for()
    assert "422" in happened.inner_text()
    page.get_by_role("region", name="deliveries").get_by_text("dead: rejected").wait_for()
    page.get_by_label("search in the body").fill("sku")
    page.get_by_text("1 place").wait_for()
    assert page.locator("mark").all_inner_texts() == ["sku"]
    page.get_by_role("tab", name="Headers").click()
    page.get_by_role("row", name="content-type").wait_for()
    assert "tab=headers" in page.url
    page.get_by_role("tab", name="curl").click()
    page.get_by_text("curl").nth(1).wait_for()


def test_a_number_is_shown_with_the_digits_that_were_sent(visit: Visit, quiet_night: Scene) -> None:
    event = next(each for each in quiet_night.get("events?limit=500&type=order.paid&key=customer-1")["items"])
    page = visit.go(f"/events/{event['id']}")
    page.get_by_text(re.compile(r"1234567890123456\d{4}")).wait_for()


def test_a_conversation_shows_every_destination_and_what_is_held(visit: Visit) -> None:
    page = visit.go(f"/conversations/{HELD_KEY}")
    page.get_by_role("columnheader", name="archive").wait_for()
    page.get_by_text("an earlier one goes first").nth(2).wait_for()
    assert page.get_by_text("an earlier one goes first").count() == 3
    assert page.get_by_text("until its destination is resumed").count() == 2
    page.get_by_role("link", name="order.stuck").click()
    page.get_by_role("heading", name="order.stuck").wait_for()


@pytest.mark.parametrize("whole", [True, False])
def test_the_search_finds_an_id_whole_or_by_its_end(visit: Visit, quiet_night: Scene, whole: bool) -> None:
    id_ = event_of(quiet_night, MENDABLE)
    page = visit.go("/events")
    # The event is asked for by an id that may be a delivery's.
    visit.expected = ["404"]
    page.get_by_role("searchbox").or_(page.get_by_label("search by id")).first.fill(id_ if whole else id_[-8:])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=MENDABLE).wait_for()


def test_the_search_finds_a_key_and_a_text(visit: Visit) -> None:
    page = visit.go("/events")
    page.get_by_label("search by id").fill(HELD_KEY)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=HELD_KEY).wait_for()
    page.get_by_label("search by id").fill("card 3 is lost")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("contains=card"))
    # Those of the conversation may still be there.
    page.get_by_role("row").nth(2).wait_for(state="detached")
    page.get_by_role("row").nth(1).wait_for()
    assert page.get_by_role("row").count() == 2


@pytest.mark.parametrize("name", PAGES)
def test_markup_in_what_was_sent_is_text(visit: Visit, quiet_night: Scene, name: str) -> None:
    page = visit.go(path_of(name, quiet_night, CANARY, CANARY))
    settle(page)
    # The page's own are in its head, and it has no picture.
    assert page.locator("body img").count() == 0
    assert page.locator("body script").count() <= 1
    if name in ("events", "event", "conversation", "event in raw", "event's headers", "dead letters"):
        page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()


def test_every_time_can_be_seen_exactly(visit: Visit, quiet_night: Scene) -> None:
    page = visit.go("/events")
    time = page.get_by_role("row").nth(1).locator("time")
    time.wait_for()
    assert "ago" in time.inner_text() or time.inner_text() == "just now"
    time.focus()
    exact = time.get_attribute("datetime")
    page.get_by_text(exact[11:23]).wait_for()
    page.get_by_role("button", name="local").click()
    page.get_by_label("exact times everywhere").check()
    time.filter(has_text=re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")).wait_for()
    page.reload()
    time.wait_for()
    assert "ago" not in time.inner_text()


def test_an_id_is_copied_whole(browser: Any, quiet_night: Scene) -> None:
    visit = Visit(browser, quiet_night.url, permissions=["clipboard-read", "clipboard-write"])
    page = visit.go("/events")
    button = page.get_by_role("row").nth(1).get_by_role("button")
    button.wait_for()
    short = button.inner_text()
    button.click()
    page.get_by_text("copied").wait_for()
    whole = page.evaluate("navigator.clipboard.readText()")
    assert len(whole) == 36
    assert whole.endswith(short)
    visit.close()


def test_a_store_that_is_away_is_said_and_asked_again(visit: Visit) -> None:
    visit.expected = ["503"]
    failing = True

    def answer(route: Any) -> None:
        if failing:
            said = {"title": "Service Unavailable", "status": 503, "detail": "the store did not answer within 2 s"}
            route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(said))
        else:
            route.continue_()

    visit.page.route("**/api/v1/events?**", answer)
    visit.page.route("**/api/v1/events", answer)
    page = visit.go("/events")
    page.get_by_role("alert").get_by_text("the store did not answer within 2 s").wait_for()
    failing = False
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("row").nth(1).wait_for()
    assert page.get_by_role("alert").count() == 0


def test_who_may_not_see_it_is_told_which_scope_is_missing(visit: Visit) -> None:
    visit.expected = ["403"]
    said = json.dumps(
        {"title": "Forbidden", "status": 403, "detail": "operator lacks the scope bodies", "scope": "bodies"}
    )
    visit.page.route(
        "**/body?*", lambda route: route.fulfill(status=403, content_type="application/problem+json", body=said)
    )
    page = visit.go("/events")
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    page.get_by_role("alert").get_by_text("bodies").wait_for()
    page.get_by_role("region", name="what happened").wait_for()


def test_a_quick_answer_shows_no_skeleton_and_a_slow_one_does(visit: Visit) -> None:
    held = Held()
    visit.page.route("**/api/v1/events?**", held)
    visit.page.route("**/api/v1/events", held)
    page = visit.go("/events")
    page.get_by_role("status", name="loading").wait_for()
    held.release()
    page.get_by_role("row").nth(1).wait_for()
    assert page.get_by_role("status", name="loading").count() == 0
