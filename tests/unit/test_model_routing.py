"""Routes: who gets an event, and in which lane its deliveries go."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.append import initial_deliveries, quarantine_delivery
from longstop.model.delivery import DeadReason, State
from longstop.model.event import Headers
from longstop.model.exchange import Reading
from longstop.model.routing import SEEN_NAMES, Route, Router, Target, seen
from longstop.testing.builders import make_event


def routed(router: Router, source: str, document: Any = None, key: str | None = "k") -> dict[str, Target]:
    return router.destinations(source, Reading(document, key=key), Headers())


def is_text(document: Any) -> bool:
    return bool(document.get("type") == "Text")


def test_every_route_that_wants_the_body_names_its_destinations_once() -> None:
    routes = [Route("shop", ("crm", "bi")), Route("shop", ("bi", "chat"), is_text), Route("other", ("x",))]
    router = Router(routes)
    assert list(routed(router, "shop", {"type": "Text"})) == ["crm", "bi", "chat"]
    assert list(routed(router, "shop", {"type": "Receipt"})) == ["crm", "bi"]
    assert routed(router, "other", {}) == {"x": Target()}
    assert routed(router, "unknown", {}) == {}


def test_the_routes_of_a_source_are_told_in_their_order() -> None:
    first, second, other = Route("shop", ("crm",)), Route("shop", ("bi",)), Route("other", ("x",))
    router = Router([first, other, second])
    assert router.routes("shop") == (first, second)
    assert router.routes("unknown") == ()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from("xyz"), max_size=3).map(tuple))))
def test_an_event_has_one_delivery_at_most_for_a_destination(routes: list[tuple[str, tuple[str, ...]]]) -> None:
    router = Router(Route(source, to) for source, to in routes)
    found = routed(router, "a", None)
    assert len(set(found)) == len(found)
    assert set(found) == {name for source, to in routes if source == "a" for name in to}


def test_an_event_is_of_use_for_as_long_as_the_most_patient_route_says() -> None:
    router = Router(
        [
            Route("shop", ("crm", "pop"), expire_after_ms=1_000),
            Route("shop", ("pop", "bi"), expire_after_ms=5_000),
            Route("shop", ("crm",)),
            Route("shop", ("crm", "pop"), expire_after_ms=2_000),
        ]
    )
    found = routed(router, "shop", None)
    assert {name: target.expire_after_ms for name, target in found.items()} == {"crm": None, "pop": 5_000, "bi": 5_000}


def test_where_every_route_asks_for_something_an_event_may_go_nowhere() -> None:
    assert routed(Router([Route("shop", ("crm",), is_text)]), "shop", {"type": "Receipt"}) == {}


def test_in_its_order_it_is_of_use_for_as_long_as_out_of_any() -> None:
    router = Router([Route("shop", ("crm", "bi"), is_text, expire_after_ms=1_000)], ordered=["crm"])
    found = routed(router, "shop", {"type": "Text"})
    assert found == {"crm": Target(1_000, "shop:k"), "bi": Target(1_000)}


def test_a_delivery_begins_with_what_its_route_says() -> None:
    ids = iter("12")
    event = make_event(1, key="k")
    targets = {"crm": Target(lane="shop:k"), "bi": Target(60_000)}
    one, two = initial_deliveries(event, targets, lambda: next(ids))
    assert (one.lane, two.lane) == ("shop:k", None)
    assert (one.expires_at_ms, two.expires_at_ms) == (None, event.received_at_ms + 60_000)
    assert one.state is two.state is State.SCHEDULED
    assert one.due_at_ms == one.round_at_ms == event.received_at_ms
    assert (one.event_id, one.source, one.type, one.key) == (event.id, event.source, event.type, "k")


def lanes(router: Router, source: str, key: str | None = "k") -> dict[str, str | None]:
    return {name: target.lane for name, target in routed(router, source, key=key).items()}


def test_a_lane_is_a_key_of_one_source_at_an_ordered_destination() -> None:
    router = Router([Route("shop", ("crm", "bi")), Route("forum", ("crm",))], ordered=["crm"])
    assert lanes(router, "shop") == {"crm": "shop:k", "bi": None}
    assert lanes(router, "forum") == {"crm": "forum:k"}, "what one sends does not hold up the other"
    assert lanes(router, "shop", key=None) == {"crm": None, "bi": None}, "without a key there is no order"


def test_sources_share_an_order_where_their_routes_say_so() -> None:
    routes = [
        Route("shop", ("crm",), order_with="customer"),
        Route("shop", ("bi",)),
        Route("till", ("crm",), order_with="customer"),
        Route("customer", ("crm",)),
    ]
    router = Router(routes, ordered=["crm", "bi"])
    assert lanes(router, "shop") == {"crm": "@customer:k", "bi": "shop:k"}
    assert lanes(router, "till") == {"crm": "@customer:k"}
    assert lanes(router, "customer") == {"crm": "customer:k"}, "a source of that name is another matter"


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a-b"]), st.text(alphabet="ab:@-", max_size=4)), max_size=8))
def test_no_two_lanes_have_the_same_name(pairs: list[tuple[str, str]]) -> None:
    router = Router([Route("b", ("crm",), order_with="a"), Route("a", ("crm",))], ordered=["crm"])
    assert len({router.lane(source, "crm", key) for source, key in pairs}) == len(set(pairs))


# -- what a condition sees ----------------------------------------------------------------------

HEADERS = Headers([("X-GitHub-Event", "issues"), ("Accept", "a"), ("accept", "b")])
ALL_NAMES = frozenset(SEEN_NAMES)


def view(document: Any, names: frozenset[str] = ALL_NAMES) -> Any:
    return seen("shop", Reading(document, type="issues.opened", key="k"), HEADERS, names)


def test_a_name_that_the_body_has_not_is_the_event_s() -> None:
    found = view({"action": "opened", "key": None})
    assert (found["type"], found["source"], found["action"]) == ("issues.opened", "shop", "opened")
    assert found["headers"] == {"x-github-event": "issues", "accept": "a, b"}
    assert found["key"] is None, "the body has it, though it says nothing"


def test_the_body_s_own_names_come_first_and_the_event_s_are_still_there() -> None:
    document = {"type": "Text", "source": {"id": 1}, "longstop": "mine"}
    found = view(document)
    assert (found["type"], found["source"], found["key"]) == ("Text", {"id": 1}, "k")
    assert (found["longstop"]["type"], found["longstop"]["source"]) == ("issues.opened", "shop")
    assert found["longstop"]["body"] is document


def test_a_body_is_seen_as_it_is_where_a_condition_asks_for_nothing_else() -> None:
    document = {"a": 1}
    assert view(document, frozenset()) is document
    assert set(view(document, frozenset({"type"}))) == {"a", "type"}


@pytest.mark.parametrize("document", [[1, 2], "text", 7, True])
def test_a_body_without_members_is_seen_as_it_is_or_under_its_name(document: Any) -> None:
    assert view(document, frozenset({"type"})) == document
    found = view(document, frozenset({"longstop", "type"}))
    assert (found["longstop"]["body"], found["longstop"]["key"], found["type"]) == (document, "k", "issues.opened")


def test_of_a_body_that_is_no_document_there_are_the_names() -> None:
    assert view(None, frozenset({"type"})) == {"type": "issues.opened"}


def test_a_quarantined_request_is_dead_from_the_start() -> None:
    event = make_event(1)
    delivery = quarantine_delivery(event, "the body is not JSON", "1")
    assert (delivery.state, delivery.reason) == (State.DEAD, DeadReason.MALFORMED)
    assert (delivery.destination, delivery.last_error) == ("", "the body is not JSON")
    assert delivery.ended_at_ms == delivery.received_at_ms == event.received_at_ms
    assert delivery.id == "1"
