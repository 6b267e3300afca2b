"""How it stands: what waits, is delivered, is dead, by destination."""

from collections.abc import Sequence

from longstop.edges.cli import output, rows
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.refused import print_refused, refused_rows
from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import State
from longstop.model.listing import Counts


def status(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Count what waits, is delivered and is dead, by destination."""

    async def work(parts: Parts) -> int:
        counts = await parts.store.counts()
        names = [each.name for each in parts.config.destinations]
        row = status_row(counts, names, await parts.store.pauses(), await parts.store.circuits(), parts.clock.now_ms())
        row |= refused_rows(await parts.store.rejection_counts(), await parts.store.held_counts())
        if json:
            output.json_line(row)
        else:
            _print_status(row)
            print_refused(row)
        return DONE

    return on_store(program, config, work)


def status_row(
    counts: Counts, configured: list[str], pauses: Sequence[Pause], circuits: Sequence[Circuit], now_ms: int
) -> rows.Row:
    """The stable fields of `status`. Destinations: the configured ones, then those only the store knows."""
    stopped = {each.destination for each in pauses} | {each.destination for each in circuits}
    others = {*counts.deliveries, *stopped} - set(configured)
    names = [*configured, *sorted(others)]
    oldest_at_ms = counts.oldest_waiting_at_ms
    paused = {each.destination: each for each in pauses}
    opened = {each.destination: each for each in circuits}
    return {
        "events": counts.events,
        "unrouted": counts.unrouted,
        "oldest_waiting_at": output.rfc3339(oldest_at_ms),
        "oldest_waiting_s": None if oldest_at_ms is None else max(now_ms - oldest_at_ms, 0) / 1000,
        "destinations": [
            {
                "destination": name or None,
                "configured": name in configured,
                **rows.pause_row(paused.get(name)),
                "circuit": _circuit_row(opened.get(name)),
                **{state.value: counts.deliveries.get(name, {}).get(state, 0) for state in State},
            }
            for name in names
        ],
    }


def _circuit_row(circuit: Circuit | None) -> rows.Row | None:
    """None: closed."""
    if circuit is None:
        return None
    return {
        "opened_at": output.rfc3339(circuit.opened_at_ms),
        "probe_at": output.rfc3339(circuit.probe_at_ms),
        "why": circuit.why,
    }


def _print_status(row: rows.Row) -> None:
    states = [state.value for state in State]
    table = [
        (each["destination"] or "quarantine", *(str(each[state]) for state in states)) for each in row["destinations"]
    ]
    output.table(("destination", *states), table, right=states)
    output.line()
    output.line(f"events          {row['events']}")
    output.line(f"unrouted        {row['unrouted']}")
    waits = row["oldest_waiting_s"]
    output.line(f"oldest waiting  {'nothing waits' if waits is None else output.age(round(waits * 1000))}")
    for each in row["destinations"]:
        if each["paused_at"]:
            why = f": {each['paused_why']}" if each["paused_why"] else ""
            output.line(f"paused          {each['destination']}, since {each['paused_at']} by {each['paused_by']}{why}")
        if circuit := each["circuit"]:
            output.line(f"circuit open    {each['destination']}, since {circuit['opened_at']}: {circuit['why']}")
            output.line(f"                next probe at {circuit['probe_at']}")
    gone = [each["destination"] for each in row["destinations"] if not each["configured"] and each["destination"]]
    if gone:
        say([f"No longer configured, so nothing is delivered there: {', '.join(gone)}"])
