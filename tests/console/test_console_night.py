"""What somebody does at night by the console alone: mends one, sends the rest, gives one up, sees it drained."""

import json
import re
from typing import Any

from acceptance.harness import wait_until
from console.scene import HELD_KEY, MENDABLE, Scene
from console.visit import Visit


def dead_of(scene: Scene, type_: str) -> Any:
    return next(each for each in scene.deliveries("dead") if each["type"] == type_)


def test_an_event_is_mended_in_the_editor_and_arrives(changing: Visit, own_night: Scene) -> None:
    dead = dead_of(own_night, MENDABLE)
    page = changing.go(f"/events/{dead['event_id']}")
    page.get_by_role("tab", name="Body").wait_for()
    page.keyboard.press("e")
    editor = page.get_by_role("textbox", name="the body as it will be sent")
    editor.wait_for()
    page.get_by_text("Nothing is changed yet.").wait_for()
    send = page.get_by_role("button", name="Send edited")
    assert send.is_disabled()

    page.keyboard.press("Control+a")
    page.keyboard.type('{"id": "x", ')
    page.get_by_text("This is no JSON, and the original is.").wait_for()
    assert send.is_disabled()
    page.keyboard.press("Control+a")
    mended = {"id": "mended", "type": MENDABLE, "customer": "customer-mend", "amount": 12}
    page.keyboard.insert_text(json.dumps(mended))
    page.get_by_text(re.compile("Makes a new event.*goes to")).wait_for()
    where = page.locator(".where").inner_text()
    assert "crm" in where
    assert MENDABLE in where
    assert page.locator(".editor").get_by_text("twelve").count() >= 1, "the original stays beside it"

    page.get_by_label("Why").fill("the amount was a word")
    send.click()
    page.wait_for_url(lambda url: "/events/" in url and dead["event_id"] not in url)
    page.get_by_text("made of").wait_for()
    made = page.url.rsplit("/", 1)[1]
    wait_until(lambda: _states(own_night, made).get("crm") == "delivered", "the mended event to arrive")
    page.get_by_role("link", name=dead["event_id"][-8:]).first.click()
    page.get_by_text("the amount was a word").wait_for()


def test_one_that_is_picked_is_replayed_with_why(changing: Visit, own_night: Scene) -> None:
    own_night.mended = True
    dead = dead_of(own_night, "order.broken")
    page = changing.go("/dead-letters?type=order.broken&rows=all")
    page.get_by_label(f"select {dead['id'][-8:]}").check()
    page.keyboard.press("r")
    panel = page.get_by_role("region", name="Replay deliveries")
    panel.get_by_text("1 delivery").wait_for()
    page.keyboard.type("billing is back")
    page.keyboard.press("Enter")
    panel.get_by_text("1 of 1 delivery sent on their way again").wait_for()
    wait_until(lambda: _states(own_night, dead["event_id"]).get("billing") == "delivered", "it to arrive")
    page.get_by_role("row").nth(6).wait_for()
    page.get_by_label(f"select {dead['id'][-8:]}").wait_for(state="detached")
    actions = own_night.get(f"deliveries/{dead['id']}")["actions"]
    assert [(each["action"], each["why"]) for each in actions] == [("replay", "billing is back")]


def test_one_is_given_up_only_with_a_reason(changing: Visit, own_night: Scene) -> None:
    dead = dead_of(own_night, "order.refused")
    page = changing.go(f"/events/{dead['event_id']}")
    page.get_by_role("button", name="Discard d").click()
    panel = page.get_by_role("region", name="Discard deliveries")
    panel.get_by_text("a replay brings them back").wait_for()
    confirm = panel.get_by_role("button", name="Discard 1")
    assert confirm.is_disabled()
    panel.get_by_label("Why").fill("a test order")
    confirm.click()
    panel.get_by_text("1 of 1 delivery discarded").wait_for()
    page.get_by_text("“a test order”").wait_for()
    assert own_night.get(f"deliveries/{dead['id']}")["state"] == "discarded"


def test_a_whole_cause_is_given_up_with_its_count_and_a_reason(changing: Visit, own_night: Scene) -> None:
    page = changing.go("/dead-letters")
    page.get_by_role("row").nth(1).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("d")
    panel = page.get_by_role("region", name="Discard deliveries")
    panel.get_by_text("7 deliveries").wait_for()
    panel.get_by_text("of billing, 3 keys, oldest").wait_for()
    confirm = panel.get_by_role("button", name="Discard 7")
    assert confirm.is_disabled()
    panel.get_by_label("Why").fill("the orders were made anew")
    confirm.click()
    panel.get_by_text("7 of 7").wait_for()
    wait_until(lambda: own_night.count("discarded") == 7, "all to be discarded")
    page.get_by_text("11 dead letters of 3 causes").wait_for()
    panel.get_by_role("link", name="Its page").wait_for()


def test_what_waits_is_tried_now(changing: Visit, own_night: Scene) -> None:
    stuck = next(each for each in own_night.deliveries("scheduled") if each["type"] == "order.stuck")
    page = changing.go(f"/events/{stuck['event_id']}")
    own_night.mended = True
    page.get_by_role("button", name="Try now").click()
    wait_until(lambda: _states(own_night, stuck["event_id"]).get("crm") == "delivered", "it to arrive")
    page = changing.go(f"/conversations/{HELD_KEY}")
    wait_until(lambda: not own_night.deliveries("held"), "what it held to go on")
    page.get_by_role("row").nth(1).wait_for()


def test_all_that_match_are_replayed_at_a_rate_and_seen_drained(changing: Visit, own_night: Scene) -> None:
    page = changing.go("/dead-letters")
    page.get_by_role("row").nth(1).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Select all 9 that match").click()
    page.get_by_text("9 selected").wait_for()
    page.get_by_role("button", name="Replay at a rate").click()
    panel = page.get_by_role("region", name="Replay deliveries")
    panel.get_by_text("9 deliveries").wait_for()
    panel.get_by_text("9 keys").wait_for()
    own_night.mended = True
    panel.get_by_label("Rate").fill("20")
    panel.get_by_label("Why").fill("crm has the customers again")
    panel.get_by_role("button", name="Replay 9").click()
    panel.get_by_role("progressbar").wait_for()
    panel.get_by_text("9 of 9").wait_for()
    panel.get_by_text("done", exact=True).wait_for()
    wait_until(lambda: own_night.count("dead", destination="crm", reason="exhausted") == 0, "the group to be drained")
    page.get_by_text("No dead letter matches.").wait_for()
    job = own_night.get("jobs")["items"][0]
    assert (job["rate"], job["why"], job["done"]) == (20, "crm has the customers again", 9)


def test_what_comes_meanwhile_waits_until_it_is_asked_for(changing: Visit, own_night: Scene) -> None:
    page = changing.go("/events")
    page.get_by_role("row").nth(1).wait_for()
    page.get_by_text("live", exact=True).wait_for()
    shown = page.get_by_role("row").count()
    own_night.post("shop", "order.late", "customer-late")
    page.get_by_role("button", name="1 new, show").wait_for()
    assert page.get_by_role("row").count() == shown
    page.get_by_role("button", name="1 new, show").click()
    page.get_by_role("link", name="order.late").wait_for()


def test_a_gateway_that_went_away_is_said_and_found_again(changing: Visit, own_night: Scene) -> None:
    changing.expected = ["Failed to load resource", "ERR_"]
    page = changing.go("/events")
    page.get_by_text("live", exact=True).wait_for()
    own_night.stop()
    page.get_by_text("reconnecting").wait_for()
    own_night.start()
    page.get_by_text("live", exact=True).wait_for()


def _states(scene: Scene, event_id: str) -> dict[str, str]:
    return {each["destination"]: each["state"] for each in scene.get(f"events/{event_id}")["deliveries"]}
