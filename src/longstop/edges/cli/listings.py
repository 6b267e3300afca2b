"""Listings for people and pipes: which columns there are of events, deliveries and groups of the dead."""

from collections.abc import Mapping, Sequence

from longstop.edges.cli import tables, times
from longstop.edges.cli.tables import Column
from longstop.edges.rows.ids import short
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.values import rfc3339
from longstop.edges.rows.waiting import NOT, Waits
from longstop.model.delivery import Delivery, State
from longstop.model.error_group import group_of
from longstop.model.listing import DeadGroup, KeptEvent
from longstop.model.waiting import WaitsFor

_SAID = {
    WaitsFor.GATEWAY: "no gateway delivers",
    WaitsFor.PAUSE: "paused",
    WaitsFor.CIRCUIT: "circuit open",
    WaitsFor.RETRY_AFTER: "Retry-After",
    WaitsFor.TIME: "due",
    WaitsFor.RATE: "its rate",
    WaitsFor.ROOM: "due",
}


def id_cell(id_: str) -> str:
    """The id; on a terminal without room for all of it the characters that every command takes in its place."""
    return short(id_) if tables.on_terminal() and tables.width() < tables.WIDE_FOR_IDS else id_


def time_cell(at_ms: int | None, now_ms: int) -> str:
    """How long ago, for a person; exact, for a program."""
    return times.ago(at_ms, now_ms) if tables.on_terminal() else rfc3339(at_ms) or ""


def named(destination: str) -> str:
    """A destination's name; the place of what could not be read has one too."""
    return destination or QUARANTINE


EVENTS = (
    Column("event"),
    Column("received", right=True),
    Column("source", least=6, wide_only=True),
    Column("type", least=6),
    Column("key", least=12),
    Column("bytes", right=True, wide_only=True),
    Column("deliveries", least=16),
)


def write_events(events: Sequence[KeptEvent], now_ms: int, waits: Mapping[str, Waits]) -> None:
    """A row for each event, with where its deliveries stand."""
    rows = [
        (
            id_cell(kept.event.id),
            time_cell(kept.event.received_at_ms, now_ms),
            kept.event.source,
            kept.event.type or "",
            kept.event.key or "",
            str(len(kept.event.body)),
            _standings(kept.deliveries, waits, now_ms) or "unrouted",
        )
        for kept in events
    ]
    tables.write(EVENTS, rows)


def _standings(deliveries: Sequence[Delivery], waits: Mapping[str, Waits], now_ms: int) -> str:
    """Where each stands; what has arrived comes last, for it needs nobody."""
    ordered = sorted(deliveries, key=lambda each: each.state is State.DELIVERED)
    return ", ".join(stands(each, waits.get(each.id, NOT), now_ms) for each in ordered)


def stands(delivery: Delivery, waits: Waits, now_ms: int) -> str:
    """`crm: dead (rejected, edited)`, `crm: scheduled (backoff, in 5 min)`."""
    said = [delivery.reason.value] if delivery.reason else []
    if waits.waiting is not None:
        said.append(why_waits(waits, now_ms))
    if delivery.replaced_by is not None:
        said.append("edited")
    return f"{named(delivery.destination)}: {delivery.state}" + (f" ({', '.join(said)})" if said else "")


def why_waits(waits: Waits, now_ms: int) -> str:
    """`backoff, in 5 min`, `held by 01234567`, `paused`."""
    assert waits.waiting is not None
    why, until_ms = waits.waiting.why, waits.waiting.until_ms
    if why is WaitsFor.HELD:
        return f"held by {_other(waits.held_by or '')}"
    said = _SAID.get(why, why.value)
    return f"{said}, {times.ago(until_ms, now_ms)}" if until_ms is not None and until_ms > now_ms else said


def _other(id_: str) -> str:
    """The id of another row, within a cell."""
    return short(id_) if tables.on_terminal() else id_


DELIVERIES = (
    Column("delivery"),
    Column("when", right=True),
    Column("source", least=6, wide_only=True),
    Column("destination", least=6),
    Column("type", least=6),
    Column("key", least=12),
    Column("why", least=9),
    Column("tries", right=True, wide_only=True),
    Column("answer", right=True, wide_only=True),
    Column("error", least=16),
)


def write_deliveries(deliveries: Sequence[Delivery], now_ms: int) -> None:
    """A row for each delivery: since when it is dead, and why."""
    rows = [
        (
            id_cell(each.id),
            time_cell(each.ended_at_ms if each.ended_at_ms is not None else each.due_at_ms, now_ms),
            each.source,
            named(each.destination),
            each.type or "",
            each.key or "",
            _why(each),
            str(each.attempts),
            str(each.last_status or ""),
            each.last_error or "",
        )
        for each in deliveries
    ]
    tables.write(DELIVERIES, rows)


def _why(delivery: Delivery) -> str:
    why = delivery.reason.value if delivery.state is State.DEAD and delivery.reason else delivery.state.value
    return f"{why}, edited" if delivery.replaced_by is not None else why


GROUPS = (
    Column("count", right=True),
    Column("keys", right=True),
    Column("destination", least=6),
    Column("why"),
    Column("answer", right=True),
    Column("first", right=True),
    Column("last", right=True),
    Column("error", least=16),
)


def write_groups(groups: Sequence[DeadGroup], now_ms: int) -> None:
    """A row for each group of the dead."""
    rows = [
        (
            str(each.count),
            str(each.keys),
            named(each.destination),
            each.reason.value,
            str(each.status or ""),
            time_cell(each.first_at_ms, now_ms),
            time_cell(each.last_at_ms, now_ms),
            _error_of(each),
        )
        for each in groups
    ]
    tables.write(GROUPS, rows)


def _error_of(group: DeadGroup) -> str:
    """What they died of. Where that is a status alone, its number, which is the same for all of the group."""
    return f"HTTP {group.status}" if group.status and group.error == group_of(f"HTTP {group.status}") else group.error
