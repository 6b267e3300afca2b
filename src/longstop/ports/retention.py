"""What is forgotten, and what has to be known for it."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.retention import Cutoffs, Forgettable, Kind, Span, WholeEvent


class Retention(Protocol):
    """Forgetting in small steps, the oldest first; or, where a store is kept in spans of time, a span at once.

    What was delivered, and came in a span that is not over for long enough, is forgotten with its span, and
    `forgettable` does not tell of it. A store without spans has no use for what is said of them, and says so.
    """

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """Events that may be forgotten now that something of them of this kind is old enough, the oldest first.

        Looks at `limit` of the kind at most. After the last step `after` is where to go on another day: what was
        passed over is found again by what it waited for.
        """

    async def prepare_spans(self, now_ms: int) -> None:
        """Make the spans for what comes next; to be asked again every few minutes."""

    async def due_span(self, before: Cutoffs) -> Span | None:
        """The oldest span that may be forgotten at once; None where there is none now."""

    async def span_events(self, span: Span, after: str | None, limit: int) -> Forgettable:
        """The next of a span's events, but for those that stay."""

    async def forget_span(self, span: Span, before: Cutoffs, keep: Sequence[str]) -> int | None:
        """Forget a whole span but for what stays and the events of `keep`; how many events went.

        None, and nothing is forgotten, where it may not go any more, or somebody was in the way.
        """

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """All that is kept of these events; those that are not there, or cannot be read, are left out."""

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """Forget those of these events that may still be forgotten (`retention.event_may_go`), and all that belongs to
        them; how many they were."""

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """Events with attempts from before a time, of deliveries that had ended by then; see `forgettable`."""

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """Forget those attempts of these events; how many they were."""

    async def lived_until(self) -> int | None:
        """The time of `retention.lived` as it was kept last; None where it never was."""

    async def live_until(self, at_ms: int) -> None:
        """Keep it, unless a later one is kept already."""

    async def give_back(self) -> bool:
        """Give a little of the room that forgetting has freed back to the disk; whether there is more to give."""

    async def forget_dedup(self, now_ms: int) -> int:
        """Drop dedup keys whose window is over; how many there were."""


class WithoutSpans:
    """The part of `Retention` that is about spans, for a store that has none."""

    async def prepare_spans(self, now_ms: int) -> None:
        """None."""

    async def due_span(self, before: Cutoffs) -> Span | None:  # noqa: ARG002
        """None."""
        return None

    async def span_events(self, span: Span, after: str | None, limit: int) -> Forgettable:  # noqa: ARG002
        """Of none."""
        return Forgettable((), after, more=False)

    async def forget_span(self, span: Span, before: Cutoffs, keep: Sequence[str]) -> int | None:  # noqa: ARG002
        """None."""
        return None
