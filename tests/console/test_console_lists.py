"""Lists and what belongs to their rows: pages to and fro, when a cause's dead died, what was sent."""

import re
from typing import Any

from acceptance.destination import Arrival
from console.scene import Scene
from console.test_console_pages import event_of, settle
from console.visit import Visit

OF_THE_CONNECTION = {"host", "content-length", "connection"}


def rows_of(page: Any) -> list[str]:
    settle(page)
    return list(page.locator("tbody tr").all_inner_texts())


def test_pages_are_turned_to_and_fro_by_keys_and_by_links(visit: Visit) -> None:
    page = visit.go("/deliveries")
    page.get_by_role("row").nth(50).wait_for()
    first = rows_of(page)
    page.keyboard.press("n")
    page.get_by_text("page 2, ").wait_for()
    second = rows_of(page)
    assert len(first) == 50
    assert second
    assert not {each.split()[0] for each in first} & {each.split()[0] for each in second}
    page.keyboard.press("b")
    page.get_by_role("row").nth(50).wait_for()
    assert [each.split()[0] for each in rows_of(page)] == [each.split()[0] for each in first]
    assert "cursor" not in page.url
    page.get_by_role("link", name="Next page").click()
    page.get_by_text("page 2, ").wait_for()
    page.reload()
    page.get_by_role("link", name="Page before").click()
    page.get_by_role("row").nth(50).wait_for()
    assert "cursor" not in page.url
    # The browser's own way back.
    page.go_back()
    page.get_by_text("page 2, ").wait_for()
    page.go_back()
    page.get_by_role("row").nth(50).wait_for()
    assert "cursor" not in page.url


def test_a_page_that_was_pasted_leads_to_the_first_and_another_filter_begins_there(visit: Visit) -> None:
    page = visit.go("/deliveries")
    next_page = page.get_by_role("link", name="Next page").get_attribute("href")
    visit.go(next_page)
    page.get_by_role("row").nth(1).wait_for()
    assert page.get_by_role("link", name="Page before").count() == 0
    page.keyboard.press("b")
    page.get_by_role("row").nth(50).wait_for()
    assert "cursor" not in page.url
    page.keyboard.press("n")
    page.get_by_text("page 2, ").wait_for()
    page.get_by_label("add a filter").select_option("key")
    page.get_by_label("key", exact=True).fill("customer-1")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("key=customer-1"))
    settle(page)
    assert page.get_by_text("page 2, ").count() == 0


def test_each_cause_shows_when_its_dead_died_and_the_address_says_how_far_back(visit: Visit) -> None:
    page = visit.go("/dead-letters")
    row = page.get_by_role("row").filter(has_text="502")
    row.get_by_role("img", name=re.compile(r"^7 of 7 in the last 24 h, most \(\d\) in the 1 h from ")).wait_for()
    page.get_by_role("button", name="6h", exact=True).click()
    row.get_by_role("img", name=re.compile(r"^7 of 7 in the last 6 h, most \(\d\) in the 15 min from ")).wait_for()
    assert "when=6h" in page.url
    page.reload()
    row.get_by_role("img", name=re.compile("in the last 6 h")).wait_for()
    page.get_by_role("columnheader", name="last 6h").wait_for()


def test_a_request_is_shown_header_by_header_as_its_destination_got_it(visit: Visit, quiet_night: Scene) -> None:
    event = event_of(quiet_night, "order.broken")
    came = [each for each in quiet_night.billing.arrivals if each.webhook_id == event]
    assert len(came) == 2, "it has two attempts"
    page = visit.go(f"/events/{event}")
    attempts = page.get_by_role("region", name="what happened").get_by_role("listitem").filter(has_text="billing")
    for number, arrival in enumerate(came, 1):
        attempts.filter(has_text=f"attempt {number}").get_by_role("link", name="request").click()
        page.get_by_text(f"Longstop-Attempt: {number}").wait_for()
        shown = page.get_by_label("the request as it was sent").inner_text()
        assert shown.startswith(f"POST http://127.0.0.1:{quiet_night.billing.port}/hooks?…\n")
        assert shown.endswith(arrival.body.decode())
        expect_headers(shown.partition("\n\n")[0], arrival)
    page.get_by_label("sent to").select_option("crm")
    page.wait_for_url(re.compile("to=crm"))
    page.get_by_text("Longstop-Attempt: 1").wait_for()
    assert (
        page.get_by_label("the request as it was sent")
        .inner_text()
        .startswith(f"POST http://127.0.0.1:{quiet_night.crm.port}/")
    )


def expect_headers(shown: str, arrival: Arrival) -> None:
    headers = dict(line.split(": ", 1) for line in shown.split("\n")[1:])
    told = {name.lower(): value for name, value in headers.items()}
    got = {name: value for name, value in arrival.headers.items() if name not in OF_THE_CONNECTION}
    # The attempt began within the same second, or in the one before.
    assert abs(int(told.pop("webhook-timestamp")) - int(got.pop("webhook-timestamp"))) <= 1
    assert told == got


def test_what_was_not_sent_yet_says_so(visit: Visit, quiet_night: Scene) -> None:
    paused = quiet_night.deliveries("scheduled", destination="archive")[0]
    page = visit.go(f"/events/{paused['event_id']}?tab=sent&to=archive")
    page.get_by_text("not sent yet").wait_for()
    page.get_by_text("webhook-timestamp: (when it is sent)").wait_for()
