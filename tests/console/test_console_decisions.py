"""What is decided by the console about destinations, sources, jobs and access; each decision is in the audit log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import HMAC_SECRET, hex_signature, wait_until
from console.outage import Outage, outage
from console.scene import Scene
from console.visit import Visit

PASSWORD = "a long one for tests"


@pytest.fixture(scope="module")
def hands_on(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    """One for all of these tests: each changes another part of it."""
    del browser  # Where there is none, no gateway has to be started.
    yield from outage(tmp_path_factory.mktemp("hands-on"))


@pytest.fixture
def act(browser: Any, hands_on: Outage) -> Iterator[Visit]:
    made = Visit(browser, hands_on.url)
    yield made
    made.close()


def test_a_destination_is_paused_with_why_and_resumed(act: Visit, hands_on: Outage) -> None:
    page = act.go("/destinations/billing")
    page.get_by_role("button", name="Pause p").wait_for()
    page.keyboard.press("p")
    panel = page.get_by_role("form", name="Pause billing")
    panel.get_by_text("waits until it is resumed").wait_for()
    page.keyboard.type("they deploy")
    page.keyboard.press("Enter")
    page.get_by_text("“they deploy”").wait_for()
    told = hands_on.destination("billing")
    assert (told["state"], told["paused_why"]) == ("paused", "they deploy")
    page.get_by_role("button", name="Resume p").click()
    page.get_by_role("form", name="Resume billing").get_by_role("button", name="Resume billing").click()
    page.get_by_role("button", name="Pause p").wait_for()
    assert hands_on.destination("billing")["state"] == "closed"


def test_an_open_circuit_is_told_with_why_and_until_when_and_closed_by_a_resume(act: Visit, hands_on: Outage) -> None:
    page = act.go("/destinations/erp")
    page.get_by_text("circuit open").wait_for()
    said = page.locator(".said.open").inner_text()
    assert "3 events in a row failed" in said
    assert re.search(r"Next probe\s+in 5\d min", said), said
    attempts = page.get_by_role("table", name="last attempts")
    attempts.get_by_text("the ERP is being upgraded").first.wait_for()
    hands_on.mended = True
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("form", name="Resume erp").get_by_role("button", name="Resume erp").click()
    page.locator(".said.open").wait_for(state="detached")


def test_a_destination_gets_a_test_event(act: Visit, hands_on: Outage) -> None:
    page = act.go("/destinations/billing")
    page.get_by_role("button", name="Send a test event t").click()
    page.get_by_role("link", name="what becomes of it").click()
    page.get_by_role("heading", name="longstop.trial").wait_for()
    wait_until(lambda: any(b"longstop.trial" in each.body for each in hands_on.billing.arrivals), "it to arrive")


def test_a_refused_request_is_told_with_what_was_wrong_with_it(act: Visit) -> None:
    page = act.go("/sources")
    row = page.get_by_role("table", name="sources").get_by_role("row").filter(has_text="shop")
    row.get_by_role("link", name="3", exact=True).click()
    page.get_by_text("what should prove it does not fit").first.wait_for()
    page.get_by_text("does not fit the secret").first.click()
    page.get_by_text("keep_rejected_bodies").first.wait_for()
    page = act.go("/sources/(unknown)")
    page.locator("summary").get_by_text("nobody", exact=True).wait_for()


def test_a_source_says_where_to_post_and_what_would_become_of_a_sample(act: Visit, hands_on: Outage) -> None:
    page = act.go("/sources/shop")
    page.get_by_text(f"http://127.0.0.1:{hands_on.site.port}/webhooks/shop", exact=True).wait_for()
    page.get_by_text("hmac-sha256").first.wait_for()
    page.get_by_role("tab", name="Try a sample").click()
    body = '{"id": "s-1", "type": "order.paid", "customer": "c-1"}'
    page.get_by_label("Body").fill(body)
    before = hands_on.get("status")["counts"]["events"]
    page.get_by_role("button", name="See what would become of it").click()
    verdict = page.get_by_role("region", name="what would become of it")
    verdict.get_by_text("refused").wait_for()
    signature = hex_signature(body.encode())["X-Signature"]
    page.get_by_label("Headers").fill(f"Content-Type: application/json\nX-Signature: {signature}")
    page.get_by_role("button", name="See what would become of it").click()
    verdict.get_by_text("accepted").wait_for()
    verdict.get_by_role("link", name="billing").wait_for()
    assert hands_on.get("status")["counts"]["events"] == before


def test_a_job_is_watched_paused_with_why_resumed_and_cancelled(act: Visit, hands_on: Outage) -> None:
    asked = {"action": "replay", "filter": {"destination": "crm"}, "rate": 0.1, "why": "crm is back"}
    job = hands_on.decide("jobs", **asked)
    page = act.go("/jobs")
    page.get_by_role("row").filter(has_text="replay at 0.1/s").get_by_role("link").click()
    page.get_by_text("“crm is back”").wait_for()
    page.get_by_role("progressbar").wait_for()
    page.get_by_role("button", name="Pause p").click()
    page.get_by_role("form", name="Pause").get_by_label("Why").fill("too fast")
    page.keyboard.press("Enter")
    page.get_by_text("“too fast”").wait_for()
    told = hands_on.get(f"jobs/{job['id']}")
    assert (told["state"], told["state_why"]) == ("paused", "too fast")
    page.keyboard.press("p")
    page.get_by_role("form", name="Resume").get_by_label("Why").press("Enter")
    page.get_by_role("button", name="Pause p").wait_for()
    page.get_by_role("button", name="Cancel the rest").click()
    panel = page.get_by_role("form", name="Cancel the rest")
    panel.get_by_text("stay as they are").wait_for()
    panel.get_by_label("Why").press("Enter")
    panel.wait_for(state="detached")
    # The one that opened it goes when the job is read anew.
    page.get_by_role("button", name="Cancel the rest").wait_for(state="detached")
    assert hands_on.get(f"jobs/{job['id']}")["state"] == "cancelled"


def test_what_was_done_is_listed_filtered_by_the_address_and_exported(act: Visit, hands_on: Outage) -> None:
    hands_on.decide("destinations/billing/pause", why="for the audit")
    hands_on.decide("destinations/billing/resume")
    page = act.go("/audit")
    row = page.get_by_role("row").filter(has_text="“for the audit”")
    row.get_by_text("destination.pause").wait_for()
    page.get_by_label("add a filter").select_option("action")
    page.get_by_role("group", name="filters").locator("form select").select_option("destination.resume")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile("action=destination.resume"))
    row.wait_for(state="detached")
    page.reload()
    page.get_by_role("row").nth(1).wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert {json.loads(line)["action"] for line in lines} == {"destination.resume"}


def test_the_configuration_is_searched_and_holds_no_secret(act: Visit) -> None:
    page = act.go("/settings?tab=configuration")
    page.get_by_label("search in the configuration").fill("erp")
    page.get_by_text("destinations.erp.breaker.failures").wait_for()
    assert page.get_by_text("destinations.crm.breaker.failures").count() == 0
    page.get_by_label("search in the configuration").fill("")
    page.get_by_text("(not shown)").first.wait_for()
    assert HMAC_SECRET not in page.content()


def test_the_nodes_are_told(act: Visit) -> None:
    page = act.go("/settings?tab=nodes")
    page.get_by_role("table", name="nodes").get_by_text("running").wait_for()


@pytest.fixture
def guarded(browser: Any, tmp_path: Path) -> Iterator[Scene]:
    """A gateway that asks who it is."""
    del browser
    made = Scene(tmp_path, '\n[operators]\nauth = "users"\n')
    try:
        words = ("users", "add", "operator", "--role", "admin", "--password-file", "-")
        assert made.site.cli(*words, stdin=PASSWORD.encode()).exit == 0
        yield made
    finally:
        made.close()


def test_an_admin_adds_a_user_makes_a_token_and_ends_a_session(browser: Any, guarded: Scene) -> None:
    visit = Visit(browser, guarded.url)
    visit.expected = ["401"]
    page = visit.go("/settings")
    page.get_by_label("Name").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    users = page.get_by_role("table", name="users")
    users.get_by_text("operator you").wait_for()
    assert page.get_by_label("role of operator").is_disabled(), "nobody takes the last admin's rights away"

    page.get_by_label("Name").fill("viewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Add the user").click()
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        page.get_by_label("role of viewer").select_option("replay")
    page.reload()
    page.get_by_label("role of viewer").wait_for()
    assert page.get_by_label("role of viewer").input_value() == "replay"
    users.get_by_role("button", name="Remove: Remove viewer?").click()
    users.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_label("role of viewer").wait_for(state="detached")

    page.get_by_role("tab", name="Tokens").click()
    page.get_by_label("Name").fill("deploy")
    page.get_by_role("button", name="Make a token").click()
    token = page.locator(".made pre").inner_text()
    page.get_by_role("button", name="I have it").click()
    page.reload()
    page.get_by_role("table", name="tokens").get_by_text("deploy").wait_for()
    assert token not in page.content()
    page.get_by_role("button", name="Revoke: Revoke deploy?").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    page.get_by_text("There are no tokens.").wait_for()

    page.get_by_role("tab", name="Sessions").click()
    page.get_by_role("button", name="End: Sign yourself out?").click()
    page.get_by_role("button", name="End", exact=True).click()
    page.wait_for_url(re.compile("/login"))
    visit.close()
