"""The filters of listings, shared by the commands that list, replay, discard and expedite."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.known import QUARANTINE
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter

_AGO = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d.*)?")
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
            destination=_destination(self.destination),
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
            destination=_destination(self.destination),
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


def _destination(name: str | None) -> str | None:
    """The name as the store has it: requests that could not be read are kept for none."""
    return "" if name == QUARANTINE else name


def _bytes(text: str | None) -> bytes | None:
    # What a shell hands over in another encoding comes as surrogates; they become the bytes that were typed.
    return None if text is None else text.encode(errors="surrogateescape")


def parse_time(option: str, text: str | None, now_ms: int) -> int | None:
    """The time that an option names, in milliseconds since the epoch; None for None. Raises UsageError."""
    if text is None:
        return None
    readings: tuple[Callable[[], int | None], ...] = (lambda: _ago(text, now_ms), lambda: _date(text))
    at_ms = next((found for read in readings if (found := read()) is not None), None)
    if at_ms is None:
        raise UsageError(
            f'{option}: found "{text}"; expected an age such as 90s, 15m, 2h or 3d, '
            "a date such as 2026-01-31, or a time such as 2026-01-31T09:30:00Z"
        )
    return at_ms


def _ago(text: str, now_ms: int) -> int | None:
    found = _AGO.fullmatch(text.strip())
    return now_ms - int(found[1]) * _UNIT_MS[found[2]] if found else None


def _date(text: str) -> int | None:
    if not _DATE.fullmatch(text.strip()):
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        # Without a zone it is UTC, as every time that is printed.
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
