"""Rows of how it stands: destinations, processes, what was refused and what is held."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longstop.edges.rows.values import Row, rfc3339
from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import State
from longstop.model.listing import Counts
from longstop.model.node import Node
from longstop.model.rejection import UNKNOWN, HeldCount, RejectionCount
from longstop.model.spool import SpoolFacts
from longstop.model.store_health import StoreWarning

if TYPE_CHECKING:
    from longstop.operating.pause import Paused, Resumed


def names_in(
    counts: Counts, configured: Sequence[str], pauses: Sequence[Pause], circuits: Sequence[Circuit]
) -> list[str]:
    """Destinations: the configured ones, then those only the store knows."""
    stopped = {each.destination for each in pauses} | {each.destination for each in circuits}
    return [*configured, *sorted({*counts.deliveries, *stopped} - set(configured))]


def status_row(
    counts: Counts,
    configured: Sequence[str],
    pauses: Sequence[Pause],
    circuits: Sequence[Circuit],
    nodes: Sequence[Node],
    now_ms: int,
) -> Row:
    """The stable fields of `status`."""
    oldest_at_ms = counts.oldest_waiting_at_ms
    paused = {each.destination: each for each in pauses}
    opened = {each.destination: each for each in circuits}
    return {
        "events": counts.events,
        "unrouted": counts.unrouted,
        "oldest_waiting_at": rfc3339(oldest_at_ms),
        "oldest_waiting_s": None if oldest_at_ms is None else max(now_ms - oldest_at_ms, 0) / 1000,
        "accepting": runs(nodes, "ingest", now_ms),
        "delivering": runs(nodes, "work", now_ms),
        "nodes": [node_row(node, now_ms) for node in nodes],
        "destinations": [
            {
                "destination": name or None,
                "configured": name in configured,
                **pause_row(paused.get(name)),
                "circuit": circuit_row(opened.get(name)),
                "oldest_waiting_at": rfc3339(counts.oldest_waiting.get(name)),
                "next_due_at": rfc3339(counts.next_due.get(name)),
                **{state.value: counts.deliveries.get(name, {}).get(state, 0) for state in State},
            }
            for name in names_in(counts, configured, pauses, circuits)
        ],
    }


def spool_row(facts: SpoolFacts | None) -> Row | None:
    """The stable fields of a spool; None: there is none."""
    if facts is None:
        return None
    return {
        "in_use": facts.in_use,
        "events": facts.events,
        "bytes": facts.bytes,
        "oldest_at": rfc3339(facts.oldest_at_ms),
        "stuck": facts.stuck,
        "since": rfc3339(facts.since_ms),
        "why": facts.why or None,
    }


def warning_row(warning: StoreWarning) -> Row:
    """The stable fields of something to warn of."""
    return {
        "kind": warning.kind.value,
        "text": warning.text,
        "since": rfc3339(warning.since_ms),
        "details": dict(warning.details),
    }


def runs(nodes: Sequence[Node], role: str, now_ms: int) -> bool:
    """Whether a process with this role is running."""
    return any(role in node.roles and node.runs(now_ms) for node in nodes)


def node_row(node: Node, now_ms: int) -> Row:
    """The stable fields of a node."""
    return {
        "name": node.name,
        "roles": list(node.roles),
        "version": node.version,
        "started_at": rfc3339(node.started_at_ms),
        "seen_at": rfc3339(node.seen_at_ms),
        "running": node.runs(now_ms),
        "cpu_percent": node.cpu_percent,
        "attempts": node.attempts,
    }


def pause_row(pause: Pause | None) -> Row:
    """The stable fields of a pause; each is null where there is none."""
    return {
        "paused_at": rfc3339(pause.at_ms) if pause else None,
        "paused_by": pause.by if pause else None,
        "paused_why": pause.why if pause else None,
    }


def paused_row(destination: str, done: "Paused") -> Row:
    """The stable fields of `pause`."""
    row = {"destination": destination, "paused": True, "changed": done.changed, "held": done.waiting}
    return {**row, **pause_row(done.now)}


def resumed_row(destination: str, done: "Resumed") -> Row:
    """The stable fields of `resume`, with those of the pause that is over."""
    ended, closed = done.pause is not None, done.circuit is not None
    row = {"destination": destination, "paused": False, "changed": ended or closed, "held": done.waiting}
    stopped = {**pause_row(done.pause), "pause_ended": ended, "circuit_closed": closed}
    return {**row, **stopped, "alert_error": done.alert_error}


def circuit_row(circuit: Circuit | None) -> Row | None:
    """The stable fields of a circuit; None: closed."""
    if circuit is None:
        return None
    return {
        "opened_at": rfc3339(circuit.opened_at_ms),
        "probe_at": rfc3339(circuit.probe_at_ms),
        "why": circuit.why,
    }


def refused_rows(counts: Sequence[RejectionCount], held: Sequence[HeldCount]) -> Row:
    """The stable fields of `status` about requests that were refused. Source null: a name that no source has."""
    return {
        "refused": [
            {
                "source": None if each.source == UNKNOWN else each.source,
                "reason": each.reason.value,
                "requests": each.count,
                "since": rfc3339(each.first_at_ms),
                "last": rfc3339(each.last_at_ms),
            }
            for each in counts
        ],
        "held_requests": [
            {
                "source": each.source,
                "requests": each.requests,
                "bytes": each.bytes,
                "oldest": rfc3339(each.oldest_at_ms),
            }
            for each in held
        ],
    }
