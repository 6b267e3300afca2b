"""How it stands: what waits, is delivered, is dead, by destination; what is held back, and who is at work."""

from collections.abc import Mapping, Sequence

from longstop.edges.cli import output, tables, times
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.refused import print_refused
from longstop.edges.cli.tables import Column
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.status import names_in, refused_rows, runs, status_row
from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import State
from longstop.model.listing import Counts
from longstop.model.node import Node

STATES = tuple(state.value for state in State)
COLUMNS = (
    Column("destination", least=8),
    *(Column(state, right=True) for state in STATES),
    Column("oldest", right=True),
    Column("next due", right=True),
)


def status(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Count what waits, is delivered and is dead, by destination; say what is held back and who is at work."""

    async def work(parts: Parts) -> int:
        store, now_ms = parts.store, parts.clock.now_ms()
        # Those that routes name, too: an application may have their handlers in its code.
        described = [each.name for each in parts.config.destinations]
        names = list(dict.fromkeys([*described, *(name for route in parts.config.routes for name in route.to)]))
        counts, pauses, circuits, nodes = (
            await store.counts(),
            await store.pauses(),
            await store.circuits(),
            await store.nodes(),
        )
        refused = refused_rows(await store.rejection_counts(), await store.held_counts())
        if json:
            output.json_line({**status_row(counts, names, pauses, circuits, nodes, now_ms), **refused})
        else:
            held_back = {
                **{each.destination: "circuit open" for each in circuits},
                **{each.destination: "paused" for each in pauses},
            }
            _print_destinations(counts, names_in(counts, names, pauses, circuits), held_back, now_ms)
            output.line()
            for name, value in _facts(counts, pauses, circuits, nodes, now_ms):
                output.line(f"{name:14}  {value}")
            print_refused(refused)
            _say_who_is_gone(names_in(counts, [], pauses, circuits), names)
        return DONE

    return on_store(program, config, work)


def _print_destinations(counts: Counts, names: Sequence[str], held_back: Mapping[str, str], now_ms: int) -> None:
    table = [
        (
            name or QUARANTINE,
            *(str(counts.deliveries.get(name, {}).get(state, 0)) for state in State),
            times.ago(counts.oldest_waiting.get(name), now_ms),
            _next_due(counts.next_due.get(name), held_back.get(name), now_ms),
        )
        for name in names
    ]
    tables.write(COLUMNS, table)


def _next_due(due_at_ms: int | None, held_back: str | None, now_ms: int) -> str:
    """When the next goes out; where nothing does, why. What is overdue goes out now."""
    if due_at_ms is None:
        return "-"
    return held_back or times.ago(max(due_at_ms, now_ms), now_ms)


def _facts(
    counts: Counts, pauses: Sequence[Pause], circuits: Sequence[Circuit], nodes: Sequence[Node], now_ms: int
) -> list[tuple[str, str]]:
    oldest_at_ms = counts.oldest_waiting_at_ms
    facts = [
        ("events", str(counts.events)),
        ("unrouted", str(counts.unrouted)),
        ("oldest waiting", "nothing waits" if oldest_at_ms is None else times.when(oldest_at_ms, now_ms)),
        *(("gateway", _about_node(node, now_ms)) for node in nodes),
    ]
    if not runs(nodes, "work", now_ms):
        facts.append(("gateway", "none delivers; `longstop serve` starts one"))
    for pause in pauses:
        why = f": {pause.why}" if pause.why else ""
        facts.append(("paused", f"{pause.destination}, by {pause.by}, since {times.when(pause.at_ms, now_ms)}{why}"))
    for circuit in circuits:
        since = times.when(circuit.opened_at_ms, now_ms)
        facts.append(("circuit open", f"{circuit.destination}, since {since}: {circuit.why}"))
        facts.append(("", f"next probe {times.when(circuit.probe_at_ms, now_ms)}"))
    return facts


def _about_node(node: Node, now_ms: int) -> str:
    roles = "accepts and delivers" if len(node.roles) > 1 else {"ingest": "accepts", "work": "delivers"}[node.roles[0]]
    if node.runs(now_ms):
        return f"{node.name} {roles}, version {node.version}, started {times.when(node.started_at_ms, now_ms)}"
    return f"{node.name} ended without a word; last seen {times.when(node.seen_at_ms, now_ms)}"


def _say_who_is_gone(in_store: Sequence[str], configured: Sequence[str]) -> None:
    gone = [name for name in in_store if name and name not in configured]
    if gone:
        say([f"Not in the configuration, so nothing is delivered there: {', '.join(gone)}"])
