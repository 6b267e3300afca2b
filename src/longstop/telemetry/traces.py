"""Traces: one from the sender's request over the queue to each attempt, by OpenTelemetry (the extra `otel`).

Spans are made at the ports' boundary: around `append`, and around each sender. Where tracing is off none of this is
imported, and nothing is in the way. No span holds a body, a header, a query string, a key, or the text of an error,
which may quote any of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from longstop import __version__
from longstop.model.append import Append
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.handler import Transaction
from longstop.model.lease import Claim
from longstop.model.trace_context import TraceContext, as_headers, current, own_ids, sent_context
from longstop.ports import Clock, Sender, TransactionalSender

STOP_WITHIN_S = 5.0
Append_ = Callable[[Sequence[Append]], Awaitable[Sequence[Receipt]]]
_ids: ContextVar[tuple[int, int] | None] = ContextVar("longstop_span_ids", default=None)


class _EventIds(IdGenerator):
    """An event's own ids for its first span, and random ones for all others."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        ids = _ids.get()
        return self._random.generate_trace_id() if ids is None else ids[0]

    def generate_span_id(self) -> int:
        ids = _ids.get()
        return self._random.generate_span_id() if ids is None else ids[1]


class Traces:
    """Makes spans and hands them to an exporter."""

    def __init__(self, exporter: SpanExporter, clock: Clock) -> None:
        self._clock = clock
        # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME name the service, where they are set.
        named = Resource.create({"service.version": __version__})
        if str(named.attributes["service.name"]).startswith("unknown_service"):
            named = named.merge(Resource({"service.name": "longstop"}))
        self._provider = TracerProvider(resource=named, id_generator=_EventIds(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("longstop", __version__)

    def appending(self, append: Append_) -> Append_:
        """The same `append`, with a span for each event that was accepted, and one for its commit."""

        async def traced(appends: Sequence[Append]) -> Sequence[Receipt]:
            began_ns = self._now_ns()
            receipts = await append(appends)
            ended_ns = self._now_ns()
            for item, receipt in zip(appends, receipts, strict=True):
                if receipt.status is ReceiptStatus.ACCEPTED:
                    self._accepted(item, len(appends), began_ns, ended_ns)
            return receipts

        return traced

    def sending(self, sender: Sender, destination: str, kind: str) -> Sender:
        """The same sender, with a span for each attempt. kind: `http`, `handler` or `alert`."""
        return _TracedSender(sender, self, destination, kind)

    def calling(self, sender: TransactionalSender, destination: str) -> TransactionalSender:
        """The same for a handler that is called within the store's transaction."""
        return _TracedTransactional(sender, self, destination)

    async def stop(self) -> None:
        """Hand over what is left, but do not wait for long: an exporter may hang."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await loop.run_in_executor(None, self._provider.force_flush, round(STOP_WITHIN_S * 1000))
                await loop.run_in_executor(None, self._provider.shutdown)
        except TimeoutError:
            pass

    def _now_ns(self) -> int:
        return self._clock.now_ms() * 1_000_000

    def _accepted(self, item: Append, batch: int, began_ns: int, ended_ns: int) -> None:
        event = item.event
        attributes = {**_of_event(event), "longstop.deliveries": len(item.deliveries)}
        token = _ids.set(own_ids(event.id))
        try:
            received = self._tracer.start_span(
                f"receive {event.source}",
                context=_within(sent_context(event.headers)),
                kind=SpanKind.SERVER,
                attributes=attributes,
                start_time=min(event.received_at_ms * 1_000_000, began_ns),
            )
        finally:
            _ids.reset(token)
        commit = self._tracer.start_span(
            "append",
            context=trace.set_span_in_context(received),
            attributes={"longstop.batch": batch},
            start_time=began_ns,
        )
        commit.end(ended_ns)
        received.end(ended_ns)

    def attempt(self, event: Event, destination: str, kind: SpanKind) -> Any:
        """A span of an attempt, child of the span that the event was received in."""
        sent = sent_context(event.headers)
        trace_id, span_id = own_ids(event.id)
        if sent is not None:
            parent = TraceContext(sent.trace_id, span_id, sent.flags, sent.state)
        else:
            # As it was decided when it was received: by the trace's id, where a share of them is kept.
            decided = self._provider.sampler.should_sample(None, trace_id, "receive").decision
            parent = TraceContext(trace_id, span_id, int(decided is Decision.RECORD_AND_SAMPLE))
        attributes = {**_of_event(event), "longstop.destination": destination}
        return self._tracer.start_span(f"deliver {destination}", _within(parent), kind, attributes)

    def handling(self, destination: str) -> Any:
        """A span of a handler's call, child of its attempt's, which is the current one."""
        return self._tracer.start_as_current_span(
            f"handle {destination}", record_exception=False, set_status_on_exception=False
        )


class _TracedSender:
    def __init__(self, sender: Sender, traces: Traces, destination: str, kind: str) -> None:
        self._sender = sender
        self._traces = traces
        self._destination = destination
        self._handler = kind == "handler"
        self._kind = SpanKind.CONSUMER if self._handler else SpanKind.CLIENT

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        span = self._traces.attempt(claim.event, self._destination, self._kind)
        span.set_attributes({"longstop.delivery.id": claim.delivery.id, "longstop.attempt": attempt})
        token = current.set(_headers_of(span))
        outcome = Outcome(OutcomeKind.INTERRUPTED)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                outcome = await self._call(claim, attempt)
            return outcome
        finally:
            current.reset(token)
            _end(span, outcome)

    async def _call(self, claim: Claim, attempt: int) -> Outcome:
        if not self._handler:
            return await self._sender.send(claim, attempt)
        with self._traces.handling(self._destination):
            return await self._sender.send(claim, attempt)

    async def close(self) -> None:
        await self._sender.close()


class _TracedTransactional:
    def __init__(self, sender: TransactionalSender, traces: Traces, destination: str) -> None:
        self._sender = sender
        self._traces = traces
        self._destination = destination
        self.timeout_s = sender.timeout_s

    def call(self, event: Event, transaction: Transaction) -> None:
        span = self._traces.attempt(event, self._destination, SpanKind.CONSUMER)
        outcome = Outcome(OutcomeKind.SUCCESS)
        try:
            with (
                trace.use_span(span, record_exception=False, set_status_on_exception=False),
                self._traces.handling(self._destination),
            ):
                self._sender.call(event, transaction)
        except BaseException as error:
            outcome = self._sender.judge(error)
            raise
        finally:
            _end(span, outcome)

    def judge(self, error: BaseException) -> Outcome:
        return self._sender.judge(error)


def _of_event(event: Event) -> dict[str, Any]:
    return {"longstop.event.id": event.id, "longstop.source": event.source, "longstop.origin": str(event.origin)}


def _within(parent: TraceContext | None) -> Any:
    """A context whose span is somebody else's; an empty one where there is none."""
    if parent is None:
        return trace.set_span_in_context(trace.INVALID_SPAN)
    context = SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState.from_header([parent.state]) if parent.state else TraceState(),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))


def _headers_of(span: Any) -> list[tuple[str, str]]:
    context = span.get_span_context()
    state = context.trace_state.to_header() if context.trace_state else ""
    return as_headers(TraceContext(context.trace_id, context.span_id, int(context.trace_flags) & 1, state))


def _end(span: Any, outcome: Outcome) -> None:
    span.set_attribute("longstop.outcome", str(outcome.kind))
    if outcome.status is not None:
        span.set_attribute("http.response.status_code", outcome.status)
    if outcome.kind is not OutcomeKind.SUCCESS:
        span.set_attribute("error.type", str(outcome.status or outcome.kind))
        span.set_status(Status(StatusCode.ERROR))
    span.end()
