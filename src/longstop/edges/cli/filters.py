"""The filters of listings, shared by the commands that list, replay, discard and expedite."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli.errors import UsageError
from longstop.edges.rows.known import as_stored
from longstop.edges.rows.times import TIMES_EXPECTED, read_time
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter

TIMES = 'Take "15m" for 15 minutes ago (s, m, h, d, w), a date, or a time such as 2026-01-31T09:30:00Z.'

Standing = Literal["scheduled", "held", "leased", "delivered", "dead", "discarded"]
SourceName = Annotated[str | None, Parameter(help="Of this source.")]
TypeName = Annotated[str | None, Parameter(help="Events of this type.")]
KeyName = Annotated[str | None, Parameter(help="Events of this key.")]
DestinationName = Annotated[str | None, Parameter(help="For this destination; `quarantine`: unreadable.")]
Contains = Annotated[str | None, Parameter(help="The body holds this text, as it stands there.")]


@Parameter(name="*")
@dataclass(frozen=True)
class DeadOptions:
    """Which dead deliveries. Options narrow one another down."""

    source: SourceName = None
    destination: DestinationName = None
    type: TypeName = None
    key: KeyName = None
    reason: Annotated[DeadReason | None, Parameter(help="Dead for this reason.")] = None
    status: Annotated[int | None, Parameter(help="Last answered with this HTTP status.")] = None
    error: Annotated[
        str | None, Parameter(help="The last error holds this text, as it is or as `dead summary` has it.")
    ] = None
    since: Annotated[str | None, Parameter(help=f"Dead since. {TIMES}")] = None
    until: Annotated[str | None, Parameter(help="Dead before; times as for --since.")] = None
    contains: Contains = None

    def given(self) -> bool:
        """Whether any filter was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def filter(self, now_ms: int, state: State = State.DEAD) -> DeliveryFilter:
        """What to ask the store for. Raises UsageError.

        Times are those of the end; what has not ended is asked for by when its event was received.
        """
        since_ms = parse_time("--since", self.since, now_ms)
        until_ms = parse_time("--until", self.until, now_ms)
        ended = state is not State.SCHEDULED
        return DeliveryFilter(
            state=state,
            source=self.source,
            destination=as_stored(self.destination),
            type=self.type,
            key=self.key,
            reason=self.reason,
            status=self.status,
            error=self.error,
            since_ms=since_ms if ended else None,
            until_ms=until_ms if ended else None,
            received_since_ms=None if ended else since_ms,
            received_until_ms=None if ended else until_ms,
            contains=_bytes(self.contains),
        )


@Parameter(name="*")
@dataclass(frozen=True)
class EventOptions:
    """Which events. Options narrow one another down."""

    source: SourceName = None
    type: TypeName = None
    key: KeyName = None
    since: Annotated[str | None, Parameter(help=f"Received since. {TIMES}")] = None
    until: Annotated[str | None, Parameter(help="Received before; times as for --since.")] = None
    contains: Contains = None
    unrouted: Annotated[bool, Parameter(help="Only events that no route wanted.", show_default=False)] = False
    state: Annotated[Standing | None, Parameter(help="With a delivery that is so.")] = None
    destination: DestinationName = None

    def of_deliveries(self, now_ms: int) -> DeliveryFilter | None:
        """What to ask the store for where deliveries decide; None where they do not. Raises UsageError."""
        if self.state is None and self.destination is None:
            return None
        if self.unrouted:
            raise UsageError("found --unrouted with --state or --destination; an unrouted event has no delivery")
        return DeliveryFilter(
            state=State.SCHEDULED if self.state == "held" else State(self.state) if self.state else None,
            held=True if self.state == "held" else None,
            source=self.source,
            destination=as_stored(self.destination),
            type=self.type,
            key=self.key,
            received_since_ms=parse_time("--since", self.since, now_ms),
            received_until_ms=parse_time("--until", self.until, now_ms),
            contains=_bytes(self.contains),
        )

    def filter(self, now_ms: int) -> EventFilter:
        """What to ask the store for. Raises UsageError."""
        return EventFilter(
            source=self.source,
            type=self.type,
            key=self.key,
            since_ms=parse_time("--since", self.since, now_ms),
            until_ms=parse_time("--until", self.until, now_ms),
            contains=_bytes(self.contains),
            unrouted=self.unrouted,
        )


NO_DEAD_OPTIONS = DeadOptions()
NO_EVENT_OPTIONS = EventOptions()


def _bytes(text: str | None) -> bytes | None:
    # What a shell hands over in another encoding comes as surrogates; they become the bytes that were typed.
    return None if text is None else text.encode(errors="surrogateescape")


def parse_time(option: str, text: str | None, now_ms: int) -> int | None:
    """The time that an option names, in milliseconds since the epoch; None for None. Raises UsageError."""
    if text is None:
        return None
    at_ms = read_time(text, now_ms)
    if at_ms is None:
        raise UsageError(f'{option}: found "{text}"; expected {TIMES_EXPECTED}')
    return at_ms
