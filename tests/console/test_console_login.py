"""Who is asked who he is: the login, the way back, what a role may, and a session that ends."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.harness import wait_until
from console.scene import Scene
from console.visit import Visit

PASSWORD = "a long one for tests"
PEOPLE = {"operator": "replay", "viewer": "view"}


@pytest.fixture(scope="module")
def guarded(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A gateway that asks, with a dead letter in it."""
    del browser
    made = Scene(tmp_path_factory.mktemp("guarded"), '\n[operators]\nauth = "users"\n')
    try:
        for name, role in PEOPLE.items():
            ran = made.site.cli("users", "add", name, "--role", role, "--password-file", "-", stdin=PASSWORD.encode())
            assert ran.exit == 0, ran.err
        made.post("shop", "order.mend", "customer-mend")
        wait_until(lambda: made.site.cli("dead", "list", "--json").rows, "it to be dead")
        yield made
    finally:
        made.close()


@pytest.fixture
def asked(browser: Any, guarded: Scene) -> Iterator[Visit]:
    """A window before it. That nobody is signed in is told by 401, which the browser notes as an error."""
    made = Visit(browser, guarded.url)
    made.expected = ["401"]
    yield made
    made.close()


def log_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_a_link_leads_to_the_login_and_from_there_to_where_it_leads(asked: Visit) -> None:
    page = asked.go("/dead-letters?destination=crm&rows=all")
    page.wait_for_url(re.compile("/login"))
    assert page.get_by_role("link").count() == 0, "nothing is shown of what is behind"
    log_in(page, "operator")
    page.wait_for_url(re.compile("/dead-letters[?]destination=crm&rows=all$"))
    page.get_by_role("row").nth(1).wait_for()
    assert page.evaluate("document.cookie") == "", "no script sees the cookie"
    page.get_by_role("button", name="operator").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/login"))
    page.goto("/events")
    page.wait_for_url(re.compile("/login"))


def test_a_wrong_password_is_said_and_the_name_stays(asked: Visit) -> None:
    page = asked.go("/")
    log_in(page, "operator", "not this one")
    page.get_by_role("alert").get_by_text(re.compile(".{10}")).wait_for()
    assert page.get_by_label("Name").input_value() == "operator"
    assert page.get_by_label("Password").input_value() == ""
    assert page.evaluate("document.activeElement.id") == "password"


def test_who_only_looks_is_told_so_before_he_asks(asked: Visit) -> None:
    page = asked.go("/dead-letters?rows=all")
    log_in(page, "viewer")
    page.get_by_role("row").nth(1).wait_for()
    page.get_by_role("button", name="Select all 1 that match").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.get_by_role("alert").get_by_text("You may not do this").wait_for()
    page.get_by_role("alert").get_by_text("replay", exact=True).wait_for()


def test_a_session_that_is_over_leads_to_the_login_and_back(asked: Visit) -> None:
    page = asked.go("/events")
    log_in(page, "operator")
    page.get_by_role("row").nth(1).wait_for()
    asked.context.clear_cookies()
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    page.wait_for_url(re.compile(r"/login[?]next=%2Fevents%2F"))
    log_in(page, "operator")
    page.get_by_role("heading", name="order.mend").wait_for()
