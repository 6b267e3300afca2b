"""The filters of listings, shared by the commands that list, replay and discard."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli.errors import UsageError
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter

_AGO = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d.*)?")
_TIMES = 'Take "15m" for 15 minutes ago (s, m, h, d, w), a date, or a time such as 2026-01-31T09:30:00Z.'

SourceName = Annotated[str | None, Parameter(help="Of this source.")]
TypeName = Annotated[str | None, Parameter(help="Events of this type.")]
KeyName = Annotated[str | None, Parameter(help="Events of this key.")]
Contains = Annotated[str | None, Parameter(help="The body holds this text, as it stands there.")]


@Parameter(name="*")
@dataclass(frozen=True)
class DeadOptions:
    """Which dead deliveries. Options narrow one another down."""

    source: SourceName = None
    destination: Annotated[str | None, Parameter(help="For this destination.")] = None
    type: TypeName = None
    key: KeyName = None
    reason: Annotated[DeadReason | None, Parameter(help="Dead for this reason.")] = None
    since: Annotated[str | None, Parameter(help=f"Dead since. {_TIMES}")] = None
    until: Annotated[str | None, Parameter(help="Dead before; times as for --since.")] = None
    contains: Contains = None

    def given(self) -> bool:
        """Whether any filter was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def filter(self, now_ms: int) -> DeliveryFilter:
        """What to ask the store for. Raises UsageError."""
        return DeliveryFilter(
            state=State.DEAD,
            source=self.source,
            destination=self.destination,
            type=self.type,
            key=self.key,
            reason=self.reason,
            since_ms=parse_time("--since", self.since, now_ms),
            until_ms=parse_time("--until", self.until, now_ms),
            contains=_bytes(self.contains),
        )


@Parameter(name="*")
@dataclass(frozen=True)
class EventOptions:
    """Which events. Options narrow one another down."""

    source: SourceName = None
    type: TypeName = None
    key: KeyName = None
    since: Annotated[str | None, Parameter(help=f"Received since. {_TIMES}")] = None
    until: Annotated[str | None, Parameter(help="Received before; times as for --since.")] = None
    contains: Contains = None
    unrouted: Annotated[bool, Parameter(help="Only events that no route wanted.", show_default=False)] = False

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
