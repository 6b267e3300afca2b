"""Routes: who gets an event, and in which lane its deliveries go."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longstop.model.append import initial_deliveries, quarantine_delivery
from longstop.model.delivery import DeadReason, State
from longstop.model.routing import Route, Router
from longstop.testing.builders import make_event


def is_text(document: Any) -> bool:
    return bool(document.get("type") == "Text")


def test_every_route_that_wants_the_body_names_its_destinations_once() -> None:
    routes = [Route("shop", ("crm", "bi")), Route("shop", ("bi", "chat"), is_text), Route("other", ("x",))]
    router = Router(routes)
    assert router.destinations("shop", {"type": "Text"}) == dict.fromkeys(("crm", "bi", "chat"))
    assert router.destinations("shop", {"type": "Receipt"}) == dict.fromkeys(("crm", "bi"))
    assert router.destinations("other", {}) == {"x": None}
    assert router.destinations("unknown", {}) == {}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from("xyz"), max_size=3).map(tuple))))
def test_an_event_has_one_delivery_at_most_for_a_destination(routes: list[tuple[str, tuple[str, ...]]]) -> None:
    router = Router(Route(source, to) for source, to in routes)
    found = router.destinations("a", None)
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
    assert router.destinations("shop", None) == {"crm": None, "pop": 5_000, "bi": 5_000}


def test_only_an_ordered_destination_has_lanes_and_the_key_is_the_lane() -> None:
    ids = iter("12")
    event = make_event(1, key="k")
    one, two = initial_deliveries(event, {"crm": None, "bi": 60_000}, {"crm"}, lambda: next(ids))
    assert (one.lane, two.lane) == ("k", None)
    assert (one.expires_at_ms, two.expires_at_ms) == (None, event.received_at_ms + 60_000)
    assert one.state is two.state is State.SCHEDULED
    assert one.due_at_ms == one.round_at_ms == event.received_at_ms
    assert (one.event_id, one.source, one.type, one.key) == (event.id, event.source, event.type, "k")


def test_without_a_key_there_is_no_order() -> None:
    (delivery,) = initial_deliveries(make_event(1, key=None), {"crm": None}, {"crm"}, lambda: "1")
    assert delivery.lane is None


def test_a_quarantined_request_is_dead_from_the_start() -> None:
    event = make_event(1)
    delivery = quarantine_delivery(event, "the body is not JSON", "1")
    assert (delivery.state, delivery.reason) == (State.DEAD, DeadReason.MALFORMED)
    assert (delivery.destination, delivery.last_error) == ("", "the body is not JSON")
    assert delivery.ended_at_ms == event.received_at_ms
