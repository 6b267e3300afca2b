"""Script in whatever others write stays text on every page, and nothing of a body can run where it is opened.

Fault 33. A window's complaints (a dialog, an error, a violation of the page's policy) fail the test.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.harness import hex_signature, wait_until
from console.scene import CANARY, Scene
from console.visit import Visit

RAN = "<img src=x onerror='window.ran=1'><svg onload='window.ran=1'><script>window.ran=1</script>"
BODIES = {
    "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran=1'><script>window.ran=1</script>",
    "text/html": b"<!doctype html><script>window.ran=1</script>",
    "application/json": b"{}",
}


@pytest.fixture(scope="module")
def hostile(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A gateway, and markup wherever a sender, a destination or a person has the word."""
    del browser
    scene = Scene(tmp_path_factory.mktemp("hostile"))
    try:
        for _ in range(2):
            scene.post("shop", CANARY, CANARY, text=RAN, **{RAN: [RAN, {CANARY: RAN}]})
        for content_type, body in BODIES.items():
            scene.site.post("shop", body, {**hex_signature(body), "Content-Type": content_type, "X-Canary": RAN})
        refused = {"Content-Type": RAN, "X-Signature": RAN, "User-Agent": RAN, "X-Canary": RAN}
        assert scene.site.post("shop", RAN.encode(), refused).status == 401
        wait_until(lambda: scene.site.cli("dead", "list", "--json").rows, "it to be dead")
        wait_until(lambda: scene.get("sources/shop/rejections")["items"], "the refused request to be listed")
        for words in (
            ("pause", "archive", "--why", RAN),
            ("replay", "--all", "--why", RAN, "--no-wait"),
            ("jobs", "list"),
        ):
            assert scene.site.cli(*words).exit == 0
        yield scene
    finally:
        scene.close()


@pytest.fixture
def window(browser: Any, hostile: Scene) -> Iterator[Visit]:
    made = Visit(browser, hostile.url)
    yield made
    made.close()


PAGES = (
    "/",
    "/dead-letters",
    "/dead-letters?rows=all",
    "/events",
    "/events/{event}",
    "/events/{event}?tab=raw",
    "/events/{event}?tab=headers",
    "/events/{event}?tab=curl",
    "/events/{event}?tab=edit",
    "/conversations/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%3Cscript%3Ealert(2)%3C%2Fscript%3E",
    "/deliveries?state=delivered",
    "/destinations",
    "/destinations/crm",
    "/destinations/archive",
    "/sources",
    "/sources/shop",
    "/sources/shop?tab=refused",
    "/jobs",
    "/jobs/{job}",
    "/audit",
    "/settings",
    "/destinations/%3Cscript%3Ewindow.ran%3D1%3C%2Fscript%3E",
    "/events?contains=%3Cscript%3Ewindow.ran%3D1%3C%2Fscript%3E",
)


@pytest.mark.parametrize("path", PAGES)
def test_script_stays_text_on_every_page(window: Visit, hostile: Scene, path: str) -> None:
    event = next(each["id"] for each in hostile.get("events?limit=500")["items"] if each["type"] == CANARY)
    job = hostile.get("jobs")["items"][0]["id"]
    # There is no destination of that name.
    window.expected = ["Failed to load resource"] if path.startswith("/destinations/%3C") else []
    page = window.go(path.format(event=event, job=job))
    page.locator("main").filter(has_text=re.compile(r"\S")).wait_for()
    assert page.evaluate("window.ran") is None
    assert page.locator("main script, main img[src=x], main [onerror], main [onload]").count() == 0


def test_a_page_that_makes_markup_of_it_would_be_noticed(window: Visit) -> None:
    page = window.go("/events")
    window.expected = ["TrustedHTML", "Trusted"]
    assert page.evaluate("try { document.body.innerHTML = '<b>x</b>'; 'made' } catch (e) { e.name }") == "TypeError"
    assert any("Trusted" in each for each in window.complaints)


def test_a_body_is_an_attachment_whatever_it_says_it_is(window: Visit, hostile: Scene) -> None:
    page = window.go("/events")
    for event in hostile.get("events?limit=500")["items"]:
        answer = page.request.get(f"/api/v1/events/{event['id']}/body")
        said = answer.headers
        assert said["content-disposition"].startswith("attachment"), said
        assert said["content-type"] == "application/octet-stream"
        assert said["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in said["content-security-policy"]
        assert "sandbox" in said["content-security-policy"]


def test_nothing_inline_may_run(window: Visit) -> None:
    answer = window.page.request.get("/events")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
