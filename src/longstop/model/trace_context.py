"""Trace context: which trace an event belongs to, as W3C Trace Context has it. Pure.

It is kept nowhere by itself. A sender's is in the event's headers, as it came; an event without one has the trace that
its own id names: a UUIDv7 has as many digits as a trace id, and its second half, which is random, is a span's. So every
attempt, in any process and years later, finds the same trace, and nothing is written for it.

Source: Trace Context, W3C Recommendation of 23 November 2021, 3.2 (traceparent) and 3.3 (tracestate).
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass

from longstop.model.event import Headers

TRACESTATE_CHARS_MAX = 512
SAMPLED = 1
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e\t]*")
Pairs = list[tuple[str, str]]

current: ContextVar[Pairs | None] = ContextVar("longstop_trace_headers", default=None)
"""The headers that name the attempt under way, where tracing is on: what goes out carries them."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of somebody's, which ours are children of."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED
    state: str = ""


def sent_context(headers: Headers) -> TraceContext | None:
    """What the sender sent; None where it sent nothing, or nothing valid: then a receiver begins a trace of its own."""
    values = headers.wire_values("traceparent")
    if len(values) != 1:
        return None
    found = _TRACEPARENT.fullmatch(values[0].decode("latin-1").strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16) & SAMPLED, _state(headers))


def _state(headers: Headers) -> str:
    """Several lines of it mean the same as one list. One that is too long or broken is left out, which is allowed."""
    text = ",".join(value.decode("latin-1").strip() for value in headers.wire_values("tracestate"))
    return text if len(text) <= TRACESTATE_CHARS_MAX and _TRACESTATE.fullmatch(text) else ""


def own_ids(event_id: str) -> tuple[int, int]:
    """The trace and the first span that an event's id names."""
    digits = event_id.replace("-", "")
    return int(digits, 16), int(digits[16:], 16)


def as_headers(context: TraceContext) -> Pairs:
    """The headers that name it."""
    pairs = [("traceparent", f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.flags:02x}")]
    return [*pairs, ("tracestate", context.state)] if context.state else pairs


def outgoing(headers: Headers) -> Pairs:
    """What a delivery of an event with these headers carries: the attempt's own context, or else the sender's."""
    traced = current.get()
    if traced is not None:
        return traced
    sent = sent_context(headers)
    return [] if sent is None else as_headers(sent)
