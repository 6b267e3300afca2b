"""The tools: each a method, whose docstring and arguments are what the assistant is told of it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from longstop.edges.desk.desk import ByIds, Desk, RowPage
from longstop.edges.rows.events import text_row
from longstop.edges.rows.known import as_stored
from longstop.edges.rows.times import TIMES_EXPECTED, read_time
from longstop.edges.rows.values import Row
from longstop.model.delivery import DeadReason, State
from longstop.model.errors import HiddenError, LongstopError
from longstop.model.job import JobAction, JobState
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.operating.jobs import JobRequest

LIMIT_MAX = 100
BODY_CHARS = 20_000
"""How much of a body is handed over."""
WHY_CHARS_MAX = 2_000
IDS_MAX = 50

ATTEMPTS_SHOWN = 20
"""Of a delivery, the last ones: one that waits for three days has hundreds that say the same."""
TEXT_CHARS_MAX = 1_000

Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
Id = Annotated[str, Field(max_length=200, description="Whole, or its beginning, or its last eight characters.")]
Status = Annotated[int | None, Field(ge=100, le=599, description="The HTTP status of the last attempt.")]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX, description="Rows at most.")]
Why = Annotated[
    str, Field(min_length=1, max_length=WHY_CHARS_MAX, pattern=r"\S", description="The reason, kept with the name.")
]
Moment = Annotated[str | None, Field(max_length=100, description=f"Expects {TIMES_EXPECTED}.")]
Count = Annotated[int, Field(ge=1, description="The count that `dry_run` said for the same filter.")]
Standing = Literal["scheduled", "held", "leased", "delivered", "dead", "discarded"]
Ids = Annotated[list[Id], Field(min_length=1, max_length=IDS_MAX, description="Of events or deliveries.")]


class ToolRefusedError(LongstopError):
    """A tool does not do this; the message says why and what to do."""


class Looking:
    """Tools that look. They need the scope `view`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def status(self) -> Row:
        """How the gateway stands: what waits, is delivered and dead for each destination, what is paused, who runs."""
        return await self._desk.status()

    async def failures(self, destination: Text | None = None, limit: Limit = 20) -> Row:
        """What is failing: the dead, grouped by destination, reason, status and error, the largest group first."""
        return {"groups": await self._desk.dead_groups(destination, limit)}

    async def list_deliveries(
        self,
        state: Standing | None = "dead",
        reason: DeadReason | None = None,
        status: Status = None,
        error: Text | None = None,
        source: Text | None = None,
        destination: Text | None = None,
        type: Text | None = None,
        key: Text | None = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 20,
    ) -> Row:
        """List deliveries (one event for one destination), the newest first; by itself those that are dead."""
        wanted = self._filter(state, reason, status, error, source, destination, type, key, since, until)
        found = await self._desk.deliveries(wanted).page(Page(limit))
        return {"deliveries": found.items, **_rest(found)}

    async def list_events(
        self,
        source: Text | None = None,
        type: Text | None = None,
        key: Text | None = None,
        contains: Annotated[str | None, Field(min_length=1, max_length=TEXT_CHARS_MAX)] = None,
        since: Moment = None,
        until: Moment = None,
        unrouted: bool = False,
        limit: Limit = 20,
    ) -> Row:
        """List events (what senders posted), the newest first. contains: the body holds this text, as it stands there.

        unrouted: only those that no route wants.
        """
        wanted = EventFilter(
            source,
            type,
            key,
            self._moment("since", since),
            self._moment("until", until),
            None if contains is None else contains.encode(),
            unrouted,
        )
        found = await self._desk.events(wanted).page(Page(limit))
        return {"events": found.items, **_rest(found)}

    async def refused_requests(
        self,
        source: Annotated[str | None, Field(max_length=TEXT_CHARS_MAX, description="Left out: of no source's.")] = None,
        limit: Limit = 20,
    ) -> Row:
        """Requests of a source that were refused, the newest first, and what is wrong with each: samples of them.

        `status` says how many there were, by source and reason. A look at kept bodies is noted.
        """
        found = await self._desk.rejections(source, Page(limit))
        return {"refused": found.items, "more": found.next is not None}

    async def alerts(self) -> Row:
        """What is wrong now by the alerts' rules, the longest first; and what people want to hear nothing of."""
        return {"alerts": await self._desk.alerts(), "silences": await self._desk.silences()}

    async def show_event(self, id: Id, body: bool = False) -> Row:
        """Show an event: headers, where its deliveries stand, every attempt and decision; with its body where asked.

        The look at a body is noted; fields that this caller may not see are hidden in it.
        """
        event = _with_last_attempts(await self._desk.event(id))
        if not body:
            return event
        try:
            whole = await self._desk.body(event["id"])
        except HiddenError as error:
            return {**event, "body": None, "body_hidden": str(error)}
        return {**event, **text_row(whole[:BODY_CHARS]), "body_cut": len(whole) > BODY_CHARS}

    async def conversation(self, key: Text, limit: Limit = 20) -> Row:
        """Everything of one key (a conversation, an order), the oldest first, with every attempt."""
        found = await self._desk.conversation(key, Page(limit, newest_first=False))
        return {"key": key, "events": [*map(_with_last_attempts, found.items)], "more": found.next is not None}

    async def list_jobs(self, state: JobState | None = None, limit: Limit = 20) -> Row:
        """List jobs (replays and discards of many), the newest first, with how far each is."""
        found = await self._desk.jobs(state).page(Page(limit))
        return {"jobs": found.items, "more": found.next is not None}

    async def show_job(self, id: Id) -> Row:
        """Show one job: how far it is, what it waits for, what could not be done."""
        return await self._desk.job(id)

    async def statistics(
        self,
        series: Annotated[
            str, Field(max_length=TEXT_CHARS_MAX, description="Which, with commas between.")
        ] = "accepted,delivered,dead",
        since: Moment = "1h",
        until: Moment = None,
        step_s: Annotated[int, Field(ge=60, le=90 * 86_400, multiple_of=60)] = 300,
        source: Text | None = None,
        destination: Text | None = None,
        by: Literal["none", "source", "destination"] = "none",
    ) -> Row:
        """What happened when: numbers over time. Series: accepted, duplicate, refused, quarantined, delivered,
        failed_attempts, dead, latency."""
        asked = {"series": series, "from": since, "to": until, "step": str(step_s), "by": by}
        given = {**asked, "source": source, "destination": destination}
        return await self._desk.statistics({name: value for name, value in given.items() if value is not None})

    def _filter(
        self,
        state: Standing | None,
        reason: DeadReason | None,
        status: int | None,
        error: str | None,
        source: str | None,
        destination: str | None,
        type: str | None,
        key: str | None,
        since: str | None,
        until: str | None,
    ) -> DeliveryFilter:
        since_ms, until_ms = self._moment("since", since), self._moment("until", until)
        ended = state in ("dead", "delivered", "discarded")
        return DeliveryFilter(
            state=State.SCHEDULED if state == "held" else State(state) if state else None,
            held=True if state == "held" else None,
            reason=reason,
            status=status,
            error=error,
            source=source,
            destination=as_stored(destination),
            type=type,
            key=key,
            since_ms=since_ms if ended else None,
            until_ms=until_ms if ended else None,
            received_since_ms=None if ended else since_ms,
            received_until_ms=None if ended else until_ms,
        )

    def _moment(self, name: str, text: str | None) -> int | None:
        at_ms = None if text is None else read_time(text, self._desk.clock.now_ms())
        if text is not None and at_ms is None:
            raise ToolRefusedError(f"{name}: expected {TIMES_EXPECTED}")
        return at_ms


def _rest(found: RowPage) -> Row:
    """What is to be known of a page besides what is on it."""
    return {"more": found.next is not None, "searched_to": found.searched_to, "may_lag": found.may_lag}


def _with_last_attempts(event: Row) -> Row:
    """The same, with the last attempts of each delivery and how many came before them."""
    histories = [
        {
            **each,
            "attempts": each["attempts"][-ATTEMPTS_SHOWN:],
            "earlier_attempts": max(0, len(each["attempts"]) - ATTEMPTS_SHOWN),
        }
        for each in event["history"]
    ]
    return {**event, "history": histories}


class Deciding(Looking):
    """Tools that decide. They need the scope `replay`."""

    async def dry_run(
        self,
        action: Literal["replay", "discard"],
        reason: DeadReason | None = None,
        status: Status = None,
        error: Text | None = None,
        source: Text | None = None,
        destination: Text | None = None,
        type: Text | None = None,
        key: Text | None = None,
        since: Moment = None,
        until: Moment = None,
    ) -> Row:
        """Say what replaying or discarding the dead deliveries that a filter selects would be of. Nothing is changed.

        `count` is what `replay` and `discard` take as `expected_count`. Show it to the person before you go on.
        """
        wanted = self._filter("dead", reason, status, error, source, destination, type, key, since, until)
        return await self._desk.survey(JobRequest(JobAction(action), wanted, "a dry run", including_edited=False))

    async def replay(
        self,
        expected_count: Count,
        why: Why,
        rate_per_s: Annotated[float, Field(gt=0, le=1_000, description="How many go out in a second at most.")],
        reason: DeadReason | None = None,
        status: Status = None,
        error: Text | None = None,
        source: Text | None = None,
        destination: Text | None = None,
        type: Text | None = None,
        key: Text | None = None,
        since: Moment = None,
        until: Moment = None,
    ) -> Row:
        """Send again all dead deliveries that a filter selects, as a job, at a rate. Ask the person first.

        It is refused unless there are exactly `expected_count` of them: `dry_run` counts.
        """
        wanted = self._filter("dead", reason, status, error, source, destination, type, key, since, until)
        return await self._job(JobRequest(JobAction.REPLAY, wanted, why, rate_per_s, expected_count=expected_count))

    async def discard(
        self,
        expected_count: Count,
        why: Why,
        reason: DeadReason | None = None,
        status: Status = None,
        error: Text | None = None,
        source: Text | None = None,
        destination: Text | None = None,
        type: Text | None = None,
        key: Text | None = None,
        since: Moment = None,
        until: Moment = None,
    ) -> Row:
        """Give up on all dead deliveries that a filter selects, as a job. Ask the person first.

        It is refused unless there are exactly `expected_count` of them: `dry_run` counts.
        """
        wanted = self._filter("dead", reason, status, error, source, destination, type, key, since, until)
        return await self._job(JobRequest(JobAction.DISCARD, wanted, why, expected_count=expected_count))

    async def replay_ids(self, ids: Ids, why: Why) -> Row:
        """Send again what these ids name. Ask the person first."""
        return await self._decide(ByIds("replay", ids, why))

    async def discard_ids(self, ids: Ids, why: Why) -> Row:
        """Give up on what these ids name. Ask the person first."""
        return await self._decide(ByIds("discard", ids, why))

    async def expedite_ids(self, ids: Ids, why: Why) -> Row:
        """Have deliveries that wait for their next try tried now. Ask the person first."""
        return await self._decide(ByIds("expedite", ids, why))

    async def pause_destination(self, destination: Text, why: Why) -> Row:
        """Send a destination nothing more until it is resumed; what is for it waits. Ask the person first."""
        return await self._desk.pause(destination, why)

    async def resume_destination(self, destination: Text) -> Row:
        """End a destination's pause, and close its circuit: what waits for it goes out. Ask the person first."""
        return await self._desk.resume(destination)

    async def change_job(self, id: Id, step: Literal["pause", "resume", "cancel"], why: Why) -> Row:
        """Pause, resume or cancel a job. What it did stays done."""
        return await self._desk.change_job(id, step, why)

    async def _job(self, asked: JobRequest) -> Row:
        made = await self._desk.make_job(asked)
        if made is None:
            raise ToolRefusedError("nothing matches; nothing was changed")
        return made

    async def _decide(self, wanted: ByIds) -> Row:
        results: Sequence[Row] = await self._desk.decide(wanted)
        return {"results": results}


LOOKS = (
    "status",
    "failures",
    "list_deliveries",
    "list_events",
    "refused_requests",
    "alerts",
    "show_event",
    "conversation",
    "list_jobs",
    "show_job",
    "statistics",
)
DECIDES = (
    "dry_run",
    "replay",
    "discard",
    "replay_ids",
    "discard_ids",
    "expedite_ids",
    "pause_destination",
    "resume_destination",
    "change_job",
)
