"""What has happened since the last look: events, attempts and decisions in the order of time, pauses and circuits.

A look goes back a little behind the latest that was seen, because another process may write down what is older; what
was told already is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from longstop.edges.rows.ids import short
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, Delivery, OutcomeKind, State
from longstop.model.event import Event
from longstop.model.recent import Recent
from longstop.ports import Ledger

AT_ONCE = 2_000
"""Of each kind, in one look."""
BEHIND_MS = 3_000
"""How late something may be written down."""

_DID = {
    "replay": "replayed",
    "discard": "discarded",
    "expedite": "expedited",
}


@dataclass(frozen=True, slots=True)
class ActivityLine:
    """One thing that happened."""

    at_ms: int
    what: str
    """`accepted`, `delivered`, `retrying`, `dead`, `replayed`, `discarded`, `expedited`, `paused`, `resumed`,
    `circuit_opened`, `circuit_closed`."""
    event_id: str | None = None
    delivery_id: str | None = None
    source: str | None = None
    destination: str | None = None
    type: str | None = None
    key: str | None = None
    about: str = ""
    """In words: the error, the reason, who decided."""

    def row(self) -> Row:
        """The stable fields of `tail --json`."""
        return {
            "at": rfc3339(self.at_ms),
            "what": self.what,
            "event_id": self.event_id,
            "delivery_id": self.delivery_id,
            "source": self.source,
            "destination": self.destination or None,
            "type": self.type,
            "key": self.key,
            "about": self.about or None,
        }


class Activity:
    """Looks into a store again and again.

    source, destination: only what is of them; None: of any.
    """

    def __init__(self, ledger: Ledger, since_ms: int, source: str | None, destination: str | None) -> None:
        self._ledger = ledger
        self._since_ms = since_ms
        self._source = source
        self._destination = destination
        self._seen: dict[tuple[str, str, int], int] = {}
        """What was told, and its time."""
        self._pauses: dict[str, ActivityLine] | None = None
        self._circuits: dict[str, ActivityLine] | None = None

    async def next(self) -> list[ActivityLine]:
        """What is new since the last look, in the order of time."""
        found = [*self._of_recent(await self._look()), *await self._of_destinations()]
        return sorted((each for each in found if self._fits(each)), key=lambda each: each.at_ms)

    async def _look(self) -> Recent:
        """What is new of events, attempts and actions; the next look begins a little before the latest of them."""
        recent = await self._ledger.recent(self._since_ms, AT_ONCE)
        fresh = Recent(
            tuple(each for each in recent.events if self._is_new(("event", each.id, 0), each.received_at_ms)),
            tuple(
                (delivery, each)
                for delivery, each in recent.attempts
                if self._is_new(("attempt", delivery.id, each.number), each.ended_at_ms)
            ),
            tuple(
                (delivery, each)
                for delivery, each in recent.actions
                if self._is_new((each.trigger, delivery.id, each.at_ms), each.at_ms)
            ),
        )
        latest = max(self._seen.values(), default=self._since_ms)
        full = max(len(recent.events), len(recent.attempts), len(recent.actions)) >= AT_ONCE
        self._since_ms = max(self._since_ms, self._latest_of_the_full(recent) if full else latest - BEHIND_MS)
        self._seen = {key: at_ms for key, at_ms in self._seen.items() if at_ms >= self._since_ms}
        return fresh

    def _latest_of_the_full(self, recent: Recent) -> int:
        """There is more than was given: go on from where the first of the full lists ends."""
        ends = [
            *([recent.events[-1].received_at_ms] if len(recent.events) >= AT_ONCE else []),
            *([recent.attempts[-1][1].ended_at_ms] if len(recent.attempts) >= AT_ONCE else []),
            *([recent.actions[-1][1].at_ms] if len(recent.actions) >= AT_ONCE else []),
        ]
        # More of one millisecond than a look takes: all but the first of them are passed over.
        return max(min(ends), self._since_ms + 1)

    def _is_new(self, key: tuple[str, str, int], at_ms: int) -> bool:
        new = key not in self._seen
        self._seen[key] = at_ms
        return new

    def _fits(self, line: ActivityLine) -> bool:
        return (self._source is None or line.source == self._source) and (
            self._destination is None or line.destination == self._destination
        )

    def _of_recent(self, recent: Recent) -> Iterator[ActivityLine]:
        for event in recent.events:
            yield _of_event(event)
        for delivery, attempt in recent.attempts:
            yield _of_attempt(delivery, attempt)
        for delivery, action in recent.actions:
            yield _of_action(delivery, action)

    async def _of_destinations(self) -> list[ActivityLine]:
        """Pauses and circuits that began or ended since the last look; the first look only takes note."""
        pauses = {
            each.destination: ActivityLine(
                each.at_ms, "paused", destination=each.destination, about=f"by {each.by}" + _because(each.why)
            )
            for each in await self._ledger.pauses()
        }
        circuits = {
            each.destination: ActivityLine(
                each.opened_at_ms, "circuit_opened", destination=each.destination, about=each.why
            )
            for each in await self._ledger.circuits()
        }
        found = [
            *_changes(self._pauses, pauses, "resumed", self._since_ms + BEHIND_MS),
            *_changes(self._circuits, circuits, "circuit_closed", self._since_ms + BEHIND_MS),
        ]
        self._pauses, self._circuits = pauses, circuits
        return found


def _changes(
    before: dict[str, ActivityLine] | None, now: dict[str, ActivityLine], ended: str, at_ms: int
) -> Iterator[ActivityLine]:
    if before is None:
        return
    for name, line in now.items():
        if before.get(name) != line:
            yield line
    for name in before:
        if name not in now:
            yield ActivityLine(at_ms, ended, destination=name)


def _of_event(event: Event) -> ActivityLine:
    about = "" if event.parent is None else f"in the place of {short(event.parent)}"
    return ActivityLine(
        event.received_at_ms, "accepted", event.id, None, event.source, None, event.type, event.key, about
    )


def _of_attempt(delivery: Delivery, attempt: Attempt) -> ActivityLine:
    what = _became(delivery, attempt)
    took = f"{attempt.duration_ms} ms"
    said = attempt.error or (f"HTTP {attempt.status}" if attempt.status else "")
    if what == "delivered":
        about = f"{took}, attempt {attempt.number}" if attempt.number > 1 else took
    else:
        about = f"attempt {attempt.number}: {said or attempt.outcome.value}"
    return _of(delivery, attempt.ended_at_ms, what, about)


def _became(delivery: Delivery, attempt: Attempt) -> str:
    """What became of the delivery by this attempt. Of the latest its state tells, of an earlier one its outcome."""
    if attempt.outcome is OutcomeKind.SUCCESS:
        return "delivered"
    latest = attempt.number == delivery.attempts
    return "dead" if attempt.outcome is OutcomeKind.REJECT or (latest and delivery.state is State.DEAD) else "retrying"


def _of_action(delivery: Delivery, action: ActionRecord) -> ActivityLine:
    what = _DID.get(action.trigger.value, action.trigger.value)
    return _of(delivery, action.at_ms, what, f"by {action.by}" + _because(action.why))


def _of(delivery: Delivery, at_ms: int, what: str, about: str) -> ActivityLine:
    return ActivityLine(
        at_ms,
        what,
        delivery.event_id,
        delivery.id,
        delivery.source,
        delivery.destination,
        delivery.type,
        delivery.key,
        about,
    )


def _because(why: str | None) -> str:
    return f": {why}" if why else ""
