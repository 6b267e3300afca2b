"""How it stands: what waits, is delivered, is dead, by destination; what is held back, and who is at work."""

from collections.abc import Sequence

from longstop.edges.cli import output, tables, times
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.listings import time_cell
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.refused import print_refused
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.delivery import State

STATES = tuple(state.value for state in State)
COLUMNS = (
    Column("destination", least=8),
    *(Column(state, right=True) for state in STATES),
    Column("oldest", right=True),
    Column("next due", right=True),
)
_OF_THE_GATEWAY = ("ready", "why_not")
"""What only a gateway knows of itself."""


def status(*, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Count what waits, is delivered and is dead, by destination; say what is held back and who is at work."""

    async def work(desk: Desk) -> int:
        found = await desk.status()
        if json:
            output.json_line({name: value for name, value in found.items() if name not in _OF_THE_GATEWAY})
            return DONE
        now_ms = desk.clock.now_ms()
        _print_destinations(found["destinations"], now_ms)
        output.line()
        for name, value in _facts(found, now_ms):
            output.line(f"{name:14}  {value}")
        print_refused(found)
        _say_who_is_gone(found["destinations"])
        return DONE

    return at_desk(program, where, work)


def _print_destinations(destinations: Sequence[Row], now_ms: int) -> None:
    table = [
        (
            each["destination"] or QUARANTINE,
            *(str(each[state]) for state in STATES),
            time_cell(each["oldest_waiting_at"], now_ms),
            _next_due(each, now_ms),
        )
        for each in destinations
    ]
    tables.write(COLUMNS, table)


def _next_due(destination: Row, now_ms: int) -> str:
    """When the next goes out; where nothing does, why. What is overdue goes out now."""
    due_at_ms = ms_of(destination["next_due_at"])
    if due_at_ms is None:
        return "-"
    return held_back(destination) or ("now" if due_at_ms <= now_ms else time_cell(destination["next_due_at"], now_ms))


def held_back(destination: Row) -> str | None:
    """Why nothing goes out there; None where it does."""
    if destination["paused_at"] is not None:
        return "paused"
    return "circuit open" if destination["circuit"] is not None else None


def _facts(found: Row, now_ms: int) -> list[tuple[str, str]]:
    oldest_at_ms = ms_of(found["oldest_waiting_at"])
    facts = [
        ("events", str(found["events"])),
        ("unrouted", str(found["unrouted"])),
        ("oldest waiting", "nothing waits" if oldest_at_ms is None else times.when(oldest_at_ms, now_ms)),
        *(("gateway", _about_node(node, now_ms)) for node in found["nodes"]),
    ]
    if (spool := found.get("spool")) is not None and (spool["events"] or spool["in_use"]):
        facts.append(("spool", _about_spool(spool, now_ms)))
    facts += [("warning", each["text"]) for each in found["warnings"]]
    if not found["delivering"]:
        facts.append(("gateway", "none delivers; `longstop serve` starts one"))
    for each in found["destinations"]:
        if each["paused_at"] is not None:
            why = f": {each['paused_why']}" if each["paused_why"] else ""
            since = times.when(ms_of(each["paused_at"]), now_ms)
            facts.append(("paused", f"{each['destination']}, by {each['paused_by']}, since {since}{why}"))
    for each in found["destinations"]:
        if (circuit := each["circuit"]) is not None:
            since = times.when(ms_of(circuit["opened_at"]), now_ms)
            facts.append(("circuit open", f"{each['destination']}, since {since}: {circuit['why']}"))
            facts.append(("", f"next probe {times.when(ms_of(circuit['probe_at']), now_ms)}"))
    return facts


def _about_spool(spool: Row, now_ms: int) -> str:
    oldest = f", the oldest {times.ago(ms_of(spool['oldest_at']), now_ms)}" if spool["oldest_at"] else ""
    stuck = f"; the store refuses {spool['stuck']} of them" if spool["stuck"] else ""
    why = f": {spool['why']}" if spool["why"] else ""
    return f"{spool['events']} events ({spool['bytes']} bytes) are not in the store yet{oldest}{stuck}{why}"


def _about_node(node: Row, now_ms: int) -> str:
    does = {"ingest": "accepts", "work": "delivers"}
    roles = "accepts and delivers" if len(node["roles"]) > 1 else does[node["roles"][0]]
    if node["running"]:
        started = times.when(ms_of(node["started_at"]), now_ms)
        return f"{node['name']} {roles}, version {node['version']}, started {started}{_load(node)}"
    return f"{node['name']} ended without a word; last seen {times.when(ms_of(node['seen_at']), now_ms)}"


def _load(node: Row) -> str:
    cpu = "" if node["cpu_percent"] is None else f", {node['cpu_percent']} % of a core"
    return f"{cpu}, {node['attempts']} attempts under way" if "work" in node["roles"] else cpu


def _say_who_is_gone(destinations: Sequence[Row]) -> None:
    gone = [each["destination"] for each in destinations if each["destination"] and not each["configured"]]
    if gone:
        say([f"Not in the configuration, so nothing is delivered there: {', '.join(gone)}"])
