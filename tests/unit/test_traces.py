"""Traces: one from the sender's request over the queue to each attempt, and no word of what was in the event."""

import importlib.util
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile import OK, answering, listening

from longstop.config import parse
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event, Headers
from longstop.model.exchange import Request
from longstop.model.trace_context import own_ids
from longstop.wiring import Gateway, tracing

if importlib.util.find_spec("opentelemetry.sdk") is None and not os.environ.get("CI"):
    pytest.skip("the extra otel is not installed", allow_module_level=True)

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from longstop.clock import SystemClock
from longstop.telemetry.traces import Traces

CANARY = "CANARY-b7f1"
SENT_TRACE, SENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = [("traceparent", f"00-{SENT_TRACE}-{SENT_SPAN}-01"), ("tracestate", "vendor=1"), ("tracestate", "other=2")]
TEXT = """
[store]
url = "memory://"

[sources.shop]
kind = "generic"
verify = {{ scheme = "none" }}
key = "customer"

[destinations.crm]
{destination}

[[routes]]
from = "shop"
to = ["crm"]
"""


def text(destination: str) -> str:
    return TEXT.format(destination=destination)


def posting(url: str) -> str:
    return text(f'url = "{url}?token={CANARY}"\nallow_private = true\nretry = {{ first = "1ms", cap = "1ms" }}')


class Running:
    """A gateway whose spans are kept."""

    def __init__(self, gateway: Gateway, exporter: InMemorySpanExporter) -> None:
        self.gateway = gateway
        self._exporter = exporter

    async def post(self, headers: Sequence[tuple[str, str]] = ()) -> str:
        body = json.dumps({"customer": CANARY, "secret": CANARY}).encode()
        receipt = await self.gateway.ingest.publish("shop", Request(Headers(headers), body))
        return receipt.event_id

    def spans(self) -> list[ReadableSpan]:
        """In the order of their beginning, parents first."""
        order = ("receive shop", "append", "deliver crm", "handle crm")
        return sorted(
            self._exporter.get_finished_spans(), key=lambda each: (order.index(each.name), each.start_time or 0)
        )


@asynccontextmanager
async def running(configuration: str, traced: bool = True, **given: Any) -> AsyncIterator[Running]:
    exporter = InMemorySpanExporter()
    config = parse(configuration, where="x", environ={}, base=Path("/nowhere"), handlers=given.get("handlers", ()))
    traces = Traces(exporter, SystemClock()) if traced else None
    gateway = Gateway(config, traces=traces, **given)
    await gateway.start()
    made = Running(gateway, exporter)
    try:
        yield made
    finally:
        await gateway.stop()


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """Trace, span, and the span that it is a child of."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id, span.parent.span_id if span.parent else None


async def test_a_senders_trace_goes_over_the_queue_to_each_attempt() -> None:
    answers = [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", OK]

    async def twice(hook: Any, writer: Any) -> None:
        writer.write(answers.pop(0))

    async with listening(twice) as crm:
        async with running(posting(crm.url())) as made:
            await made.post(SENT)
            while len(crm.heads) < 2:
                await SystemClock().sleep(0.01)
        received, append, first, second = made.spans()
    trace, receive_id, parent = ids(received)
    assert (f"{trace:032x}", f"{parent or 0:016x}") == (SENT_TRACE, SENT_SPAN)
    assert ids(append)[::2] == (trace, receive_id)
    assert [ids(each)[::2] for each in (first, second)] == [(trace, receive_id)] * 2
    assert [dict(each.attributes or {})["longstop.outcome"] for each in (first, second)] == ["retry", "success"]
    assert [dict(each.attributes or {})["longstop.attempt"] for each in (first, second)] == [1, 2]
    assert first.status.status_code.name == "ERROR"
    for request, span in enumerate((first, second)):
        assert crm.headers("traceparent", request) == [f"00-{SENT_TRACE}-{ids(span)[1]:016x}-01"]
        assert crm.headers("tracestate", request) == ["vendor=1,other=2"]


async def test_an_event_without_a_trace_has_the_one_that_its_id_names() -> None:
    async with listening(answering(OK)) as crm:
        async with running(posting(crm.url())) as made:
            event_id = await made.post()
            while not crm.heads:
                await SystemClock().sleep(0.01)
        received, _, attempt = made.spans()
    assert ids(received)[:2] == own_ids(event_id)
    assert received.parent is None
    assert ids(attempt)[::2] == own_ids(event_id)
    assert crm.headers("traceparent") == [f"00-{ids(attempt)[0]:032x}-{ids(attempt)[1]:016x}-01"]


async def test_a_handler_has_a_span_of_its_own_that_is_current_within_it() -> None:
    from opentelemetry import trace

    seen: list[int] = []

    async def crm(_: Event) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)
        raise ValueError(CANARY)

    async with running(text("retry = { attempts = 1 }"), handlers={"crm": crm}) as made:
        await made.post()
        while not seen:
            await SystemClock().sleep(0.01)
    *_, attempt, handled = made.spans()
    assert ids(handled)[2] == ids(attempt)[1]
    assert seen == [ids(handled)[1]]


async def test_no_span_holds_what_was_in_an_event_a_url_or_an_error() -> None:
    refusal = b"HTTP/1.1 400 No\r\nContent-Length: 11\r\n\r\n" + CANARY.encode()
    async with listening(answering(refusal)) as crm, running(posting(crm.url())) as made:
        await made.post([("X-Secret", CANARY), *SENT])
        while not crm.heads:
            await SystemClock().sleep(0.01)
        await made.gateway.stop()
    told = "".join(span.to_json() for span in made.spans())
    assert "deliver crm" in told
    assert CANARY not in told
    assert [dict(span.attributes or {}).get("error.type") for span in made.spans()] == [None, None, "400"]


async def test_a_trace_that_its_sender_does_not_keep_is_passed_on_as_such() -> None:
    async with listening(answering(OK)) as crm:
        async with running(posting(crm.url())) as made:
            await made.post([("traceparent", f"00-{SENT_TRACE}-{SENT_SPAN}-00")])
            while not crm.heads:
                await SystemClock().sleep(0.01)
        assert made.spans() == []
    (sent,) = crm.headers("traceparent")
    assert sent.startswith(f"00-{SENT_TRACE}-")
    assert sent.endswith("-00")


async def test_without_tracing_a_senders_trace_is_passed_on_as_it_came() -> None:
    async with listening(answering(OK)) as crm, running(posting(crm.url()), traced=False) as made:
        await made.post(SENT)
        while not crm.heads:
            await SystemClock().sleep(0.01)
    assert made.gateway._traces is None
    assert crm.headers("traceparent") == [SENT[0][1]]
    assert crm.headers("tracestate") == ["vendor=1,other=2"]


# -- settings -----------------------------------------------------------------------------------


def settings(lines: str = "", **environ: str) -> Any:
    return parse(lines + text('url = "https://a.example"'), where="x", environ=environ, base=Path("/")).telemetry


def test_traces_are_made_where_an_endpoint_is_configured() -> None:
    endpoint = "http://127.0.0.1:4318/v1/traces"
    assert not settings().traces
    assert settings(f'[telemetry]\notlp_endpoint = "{endpoint}"\n').otlp_endpoint == endpoint
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        assert settings(**{name: endpoint}).traces
        assert not settings(**{name: endpoint, "OTEL_SDK_DISABLED": "true"}).traces
        assert not settings(**{name: endpoint, "OTEL_TRACES_EXPORTER": "none"}).traces


def test_without_the_extra_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    config = parse(text('url = "https://a.example"'), where="x", environ=environ, base=Path("/"))
    with pytest.raises(ConfigurationError) as raised:
        tracing.build_traces(config, SystemClock())
    assert raised.value.problems == (tracing.MISSING,)
