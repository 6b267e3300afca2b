"""Trace context: what of a sender's is believed, and what is passed on."""

import pytest

from longstop.model.event import Headers
from longstop.model.ids import format_uuid7
from longstop.model.trace_context import TraceContext, as_headers, outgoing, own_ids, sent_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_one_is_read_and_passed_on() -> None:
    headers = Headers([("Traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")])
    context = TraceContext(int(TRACE, 16), int(SPAN, 16), 1, "a=1,b=2")
    assert sent_context(headers) == context
    assert outgoing(headers) == as_headers(context) == [("traceparent", GOOD), ("tracestate", "a=1,b=2")]


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    headers = Headers([("traceparent", f"cc-{TRACE}-{SPAN}-03-what-comes")])
    assert outgoing(headers) == [("traceparent", GOOD)]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
        f"00-{TRACE}-{SPAN}-01 ж",
    ],
)
def test_an_invalid_one_is_none(value: str) -> None:
    assert outgoing(Headers([("traceparent", value), ("tracestate", "a=1")])) == []


def test_two_of_them_are_none() -> None:
    assert sent_context(Headers([("traceparent", GOOD), ("traceparent", GOOD)])) is None


@pytest.mark.parametrize("state", ["x" * 513, "a=1\r\nX: y", "a=\x01"])
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str) -> None:
    assert outgoing(Headers([("traceparent", GOOD), ("tracestate", state)])) == [("traceparent", GOOD)]


def test_an_event_names_a_trace_of_its_own() -> None:
    trace, span = own_ids(format_uuid7(1_767_225_600_000, 7))
    assert f"{trace:032x}"[16:] == f"{span:016x}"
    assert trace
    assert span
