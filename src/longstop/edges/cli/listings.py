"""Listings for people and pipes: which columns there are of events, deliveries and groups of the dead."""

from collections.abc import Mapping, Sequence

from longstop.edges.cli import tables, times
from longstop.edges.cli.tables import Column
from longstop.edges.rows.ids import short
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.delivery import State
from longstop.model.error_group import group_of
from longstop.model.waiting import WaitsFor

_SAID: Mapping[str, str] = {
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


def time_cell(at: str | None, now_ms: int) -> str:
    """How long ago, for a person; exact, for a program."""
    return times.ago(ms_of(at), now_ms) if tables.on_terminal() else at or ""


def named(destination: str | None) -> str:
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


def write_events(events: Sequence[Row], now_ms: int) -> None:
    """A line for each event, with where its deliveries stand."""
    rows = [
        (
            id_cell(each["id"]),
            time_cell(each["received_at"], now_ms),
            each["source"],
            each["type"] or "",
            each["key"] or "",
            str(each["size"]),
            _standings(each["deliveries"], now_ms) or "unrouted",
        )
        for each in events
    ]
    tables.write(EVENTS, rows)


def _standings(deliveries: Sequence[Row], now_ms: int) -> str:
    """Where each stands; what has arrived comes last, for it needs nobody."""
    ordered = sorted(deliveries, key=lambda each: bool(each["state"] == State.DELIVERED))
    return ", ".join(stands(each, now_ms) for each in ordered)


def stands(delivery: Row, now_ms: int) -> str:
    """`crm: dead (rejected, edited)`, `crm: scheduled (backoff, in 5 min)`."""
    said = [delivery["reason"]] if delivery["reason"] else []
    if delivery["waits_for"] is not None:
        said.append(why_waits(delivery, now_ms))
    if delivery["replaced_by"] is not None:
        said.append("edited")
    return f"{named(delivery['destination'])}: {delivery['state']}" + (f" ({', '.join(said)})" if said else "")


def why_waits(delivery: Row, now_ms: int) -> str:
    """`backoff, in 5 min`, `held by 01234567`, `paused`."""
    why, until = delivery["waits_for"], delivery["waits_until"]
    if why == WaitsFor.HELD:
        return f"held by {_other(delivery['held_by'] or '')}"
    said = _SAID.get(why, why)
    until_ms = ms_of(until)
    return f"{said}, {time_cell(until, now_ms)}" if until_ms is not None and until_ms > now_ms else said


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


def write_deliveries(deliveries: Sequence[Row], now_ms: int) -> None:
    """A line for each delivery: since when it is dead, and why."""
    rows = [
        (
            id_cell(each["id"]),
            time_cell(each["ended_at"] if each["ended_at"] is not None else each["due_at"], now_ms),
            each["source"],
            named(each["destination"]),
            each["type"] or "",
            each["key"] or "",
            _why(each),
            str(each["attempts"]),
            str(each["last_status"] or ""),
            each["last_error"] or "",
        )
        for each in deliveries
    ]
    tables.write(DELIVERIES, rows)


def _why(delivery: Row) -> str:
    why: str = delivery["reason"] if delivery["state"] == State.DEAD and delivery["reason"] else delivery["state"]
    return f"{why}, edited" if delivery["replaced_by"] is not None else why


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


def write_groups(groups: Sequence[Row], now_ms: int) -> None:
    """A line for each group of the dead."""
    rows = [
        (
            str(each["count"]),
            str(each["keys"]),
            named(each["destination"]),
            each["reason"],
            str(each["status"] or ""),
            time_cell(each["first_at"], now_ms),
            time_cell(each["last_at"], now_ms),
            _error_of(each),
        )
        for each in groups
    ]
    tables.write(GROUPS, rows)


def _error_of(group: Row) -> str:
    """What they died of. Where that is a status alone, its number, which is the same for all of the group."""
    status, error = group["status"], group["error"] or ""
    return f"HTTP {status}" if status and error == group_of(f"HTTP {status}") else error
