"""A night by the console alone, as docs/operate.md has it: names in bold there are what is pressed and read here."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import wait_until
from acceptance.night import Night, night, section
from console.visit import Visit


@pytest.fixture
def here(browser: Any, tmp_path: Path) -> Iterator[Night]:
    del browser  # Where there is none, no gateway has to be started.
    with night(tmp_path) as made:
        yield made


class Person:
    """Somebody before the console, who finds everything by its name."""

    def __init__(self, visit: Visit) -> None:
        self.page = visit.page
        self.named: set[str] = set()

    def press(self, name: str, role: str = "button", within: Any = None) -> None:
        """Press a button, or follow a link."""
        self.named.add(name)
        # A key stands beside some names.
        (within or self.page).get_by_role(role, name=re.compile(rf"^{re.escape(name)}( \w)?$")).first.click()

    def follow(self, *names: str) -> None:
        """Follow links, one after the other."""
        for name in names:
            self.press(name, "link")

    def read(self, name: str) -> None:
        """See that something stands there."""
        self.named.add(name)
        self.page.get_by_text(name).first.wait_for()

    def sees(self, *texts: str) -> None:
        """See all of these on the page."""
        for text in texts:
            self.page.get_by_text(text).first.wait_for()


def test_a_night_is_got_through_in_the_console(browser: Any, here: Night) -> None:
    visit = Visit(browser, here.url)
    person = Person(visit)
    original, given_up = (here.dead_of(f"conversation-{number}")["event_id"] for number in ("000", "002"))
    visit.go("/")
    see_what_fails(person)
    pause(person)
    edited = mend_one(person, original)
    give_one_up(person)
    here.mend()
    person.follow("Destinations", "crm")
    person.press("Resume")
    person.sees("INC-7: the CRM is being mended")
    person.press("Resume crm")
    send_the_rest_again(person, here)
    see_it_drained(person, here)
    here.account(original, edited, given_up)
    here.trail(original, edited, "local")
    visit.close()
    assert person.named == set(re.findall(r"\*\*(.+?)\*\*", section("In the console")))


def see_what_fails(person: Person) -> None:
    person.read("Overview")
    wrong = person.page.get_by_role("region", name="what is wrong now")
    wrong.get_by_text("30 deliveries are dead, of 4 causes").wait_for()
    wrong.get_by_text("4 deliveries are dead, of 1 cause").wait_for()
    assert wrong.get_by_text("since").count() == 2
    person.sees("backlog 90")
    person.follow("Dead letters")
    person.sees("34 dead letters of 5 causes", "the table is locked", "the number has no country code")
    person.follow("HTTP 500")
    locked = {f"conversation-{number:03}" for number in range(16, 36, 2)}
    links = person.page.get_by_role("link", name=re.compile("^conversation-"))
    links.nth(9).wait_for()
    assert set(links.all_inner_texts()) == locked


def pause(person: Person) -> None:
    person.follow("Destinations", "crm")
    person.read("held")
    person.page.get_by_role("link", name="90 held").wait_for()
    person.press("Pause")
    person.page.get_by_label("Why").fill("INC-7: the CRM is being mended")
    person.press("Pause crm")
    person.sees("INC-7: the CRM is being mended")


def mend_one(person: Person, original: str) -> str:
    """Send the first refused event with a number that has a country code; the new event's id."""
    page = person.page
    person.follow("Dead letters", "HTTP 422", "conversation-000")
    page.get_by_role("row").filter(has_text="dead").filter(has_text="call").wait_for()
    assert page.get_by_role("row").filter(has_text="held").count() == 3
    person.press("call.moved", "link", page.get_by_role("row").filter(has_text=re.compile("dead")))
    page.wait_for_url(f"**/events/{original}*")
    person.sees("the number has no country code")
    person.press("Edit")
    editor = page.get_by_role("textbox", name="the body as it will be sent")
    text = editor.inner_text()
    assert "0301234567" in text
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text.replace("0301234567", "+49301234567"))
    page.get_by_text(re.compile("Makes a new event.*goes to.*crm")).wait_for()
    page.get_by_label("Why").fill("INC-7: country code")
    person.press("Send edited")
    page.wait_for_url(lambda url: "/events/" in url and original not in url)
    page.get_by_text("made of").wait_for()
    return str(page.url.rsplit("/", 1)[1].partition("?")[0])


def give_one_up(person: Person) -> None:
    page = person.page
    person.follow("Dead letters", "HTTP 422", "conversation-002")
    person.press("call.moved", "link", page.get_by_role("row").filter(has_text=re.compile("dead")))
    person.press("Discard")
    page.get_by_label("Why").fill("INC-7: a test call")
    person.press("Discard 1")
    person.sees("1 of 1 delivery discarded")


def send_the_rest_again(person: Person, here: Night) -> None:
    page = person.page
    person.follow("Dead letters", "each")
    person.read("edited")
    person.press("Select all 32 that match")
    person.press("Replay at a rate")
    panel = page.get_by_role("region", name="Replay deliveries")
    panel.get_by_text("32 deliveries").wait_for()
    panel.get_by_text("crm 28, screen 4").wait_for()
    panel.get_by_label("Rate").fill("20")
    panel.get_by_label("Why").fill("INC-7: mended")
    person.press("Replay 32")
    panel.get_by_text("32 of 32").wait_for()
    person.follow("Jobs")
    page.get_by_role("row").filter(has_text="INC-7: mended").filter(has_text="done").wait_for()
    almost = {"delivered": 296, "dead": 1, "discarded": 1, "scheduled": 3}
    wait_until(lambda: here.states("crm") == almost, "the rest")


def see_it_drained(person: Person, here: Night) -> None:
    page = person.page
    person.follow("Dead letters")
    person.sees("1 dead letter of 1 cause")
    person.follow("HTTP 422", "call.moved")
    person.press("Discard")
    page.get_by_label("Why").fill("INC-7: replaced")
    person.press("Discard 1")
    person.sees("1 of 1 delivery discarded")
    person.follow("Dead letters")
    person.read("No dead letters.")
    person.sees("INC-7: replaced")
    wait_until(lambda: here.states("crm") == {"delivered": 299, "discarded": 2}, "its conversation")
    wait_until(lambda: here.states("screen") == {"delivered": 60}, "the screens")
    person.follow("Overview")
    person.sees("backlog 0")
