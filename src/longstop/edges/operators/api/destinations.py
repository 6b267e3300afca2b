"""`destinations`: where deliveries go, and how they are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from longstop.client.models import Items, Result
from longstop.client.places import Destination, DestinationDetail, PauseResult, ResumeResult
from longstop.edges.desk.behind import pausing_of
from longstop.edges.operators.api.access import Decider, Viewer
from longstop.edges.operators.api.deliveries import NO_REASON
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.operators.api.replays import Why
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.deliveries import result_row
from longstop.edges.rows.events import attempt_row
from longstop.edges.rows.known import as_stored
from longstop.edges.rows.status import circuit_row, names_in, pause_row, paused_row, resumed_row
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.action import Pause
from longstop.model.audit import AuditAction
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.listing import Counts, DeliveryFilter, Page
from longstop.model.settings import DestinationSettings
from longstop.operating.trial import trial_of

HELD_COUNTED = 1_000
RECENT = 20
"""Attempts that a destination shows."""


@dataclass(frozen=True, slots=True)
class _Now:
    """How everything stands, asked for once."""

    counts: Counts
    pauses: Sequence[Pause]
    circuits: Sequence[Circuit]
    now_ms: int


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/destinations", tags=["destinations"])

    @api.get("", response_model=Items[Destination], summary="Where deliveries go, and how they are")
    async def destinations(_who: Viewer) -> Any:
        now = await _look(services)
        return {"items": [await _row(services, name, now) for name in _names(services, now)]}

    @api.get("/{name}", response_model=DestinationDetail, summary="One destination, and its last attempts")
    async def destination(_who: Viewer, name: str) -> Any:
        now = await _look(services)
        stored = expect_one(services, name, now.counts)
        return {**await _row(services, stored, now), "recent_attempts": await _recent(services, stored)}

    return api


def deciding_router(services: Services) -> APIRouter:
    """What is decided about a destination."""
    api = APIRouter(prefix="/destinations", tags=["destinations"])

    @api.post("/{name}/pause", response_model=PauseResult, summary="Send it nothing more until it is resumed")
    async def pause(who: Decider, name: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        """What is for it waits. Of one that is paused already, `why` changes the reason."""

        async def act() -> Row:
            await _expect_stoppable(services, name)
            return paused_row(name, await pausing_of(services, who).pause(name, asked.why))

        return await once(PauseResult, act)

    @api.post("/{name}/resume", response_model=ResumeResult, summary="End its pause, and close its circuit")
    async def resume(who: Decider, name: str, once: CarriedOut) -> Any:
        """What waits for it goes out now."""

        async def act() -> Row:
            await _expect_stoppable(services, name)
            return resumed_row(name, await pausing_of(services, who).resume(name))

        return await once(ResumeResult, act)

    @api.post("/{name}/test", response_model=Result, status_code=202, summary="Send it a test event")
    async def test(who: Decider, name: str, once: CarriedOut) -> Any:
        """An event of the type `longstop.trial` that no sender sent. Its delivery is as any other."""

        async def act() -> Row:
            configured = [each.name for each in services.config.destinations]
            if name not in configured:
                raise _unknown(name, configured)
            made = trial_of(name, who.name, services.ids, services.clock.now_ms())
            await services.auditor(who).note(AuditAction.DESTINATION_TEST, "destination", name, event=made.event.id)
            await services.store.append([made])
            (delivery,) = made.deliveries
            return result_row(delivery.id, made.event.id, delivery.state, None)

        return await once(Result, act, 202)

    return api


async def _expect_stoppable(services: Services, name: str) -> None:
    """Raise a problem for a name that neither the configuration nor the store knows."""
    known = set(_names(services, await _look(services))) - {""}
    if name not in known:
        raise _unknown(name, known)


def expect_one(services: Services, name: str, counts: Counts) -> str:
    """The name as the store has it. Raises a problem where neither it nor the configuration knows it."""
    stored = as_stored(name) or ""
    known = {each.name for each in services.config.destinations} | set(counts.deliveries)
    if stored not in known:
        raise _unknown(name, known - {""})
    return stored


def _unknown(name: str, known: Collection[str]) -> ProblemError:
    listed = ", ".join(sorted(known)) or "(there is none)"
    return ProblemError(404, f'found no destination "{name}"; expected one of: {listed}')


async def _look(services: Services) -> _Now:
    store = services.store
    return _Now(await store.counts(), await store.pauses(), await store.circuits(), services.clock.now_ms())


def _names(services: Services, now: _Now) -> list[str]:
    configured = [each.name for each in services.config.destinations]
    return names_in(now.counts, configured, now.pauses, now.circuits)


async def _row(services: Services, name: str, now: _Now) -> Row:
    settings = next((each for each in services.config.destinations if each.name == name), None)
    pause = next((each for each in now.pauses if each.destination == name), None)
    circuit = next((each for each in now.circuits if each.destination == name), None)
    return {
        "name": name or None,
        "configured": settings is not None,
        **_settings(services, settings),
        "state": _state(pause, circuit, now.now_ms),
        "circuit": circuit_row(circuit),
        **pause_row(pause),
        "counts": await _counts(services, name, settings, now.counts),
        "oldest_waiting_at": rfc3339(now.counts.oldest_waiting.get(name)),
        "next_due_at": rfc3339(now.counts.next_due.get(name)),
    }


def _state(pause: Pause | None, circuit: Circuit | None, now_ms: int) -> str:
    if pause is not None:
        return "paused"
    if circuit is None:
        return "closed"
    # Its probes go out, or have arrived already.
    return "half_open" if circuit.passed or now_ms >= circuit.probe_at_ms else "open"


def _settings(services: Services, settings: DestinationSettings | None) -> Row:
    if settings is None:
        return {"url": None, "handler": None, "ordered": False, "retry": None, "timeout_s": None, "limits": None}
    retry = settings.retry
    target = services.config.targets[settings.name]
    return {
        "url": target if settings.url is not None else None,
        "handler": target if settings.url is None else None,
        "ordered": settings.ordered,
        "retry": {
            "attempts": retry.attempts,
            "first_s": retry.first_ms / 1000,
            "factor": retry.factor,
            "cap_s": retry.cap_ms / 1000,
            "jitter": retry.jitter,
            "max_age_s": retry.max_age_ms / 1000,
            "on_dead": retry.on_dead,
        },
        "timeout_s": settings.timeout_ms / 1000,
        "limits": {
            "concurrency": settings.concurrency,
            "adaptive": settings.adaptive,
            "rate_per_s": settings.rate_per_s,
        },
    }


async def _counts(services: Services, name: str, settings: DestinationSettings | None, counts: Counts) -> Row:
    states = counts.deliveries.get(name, {})
    held: int | None = 0
    # Only where order matters can one be held; one that is not configured may have been of that kind.
    if states.get(State.SCHEDULED) and (settings is None or settings.ordered):
        wanted = DeliveryFilter(state=State.SCHEDULED, held=True, destination=name)
        found = await services.store.find_deliveries(wanted, Page(HELD_COUNTED))
        held = None if found.next_after is not None else len(found.rows)
    return {**{state.value: states.get(state, 0) for state in State}, "held": held}


async def _recent(services: Services, name: str) -> list[Row]:
    """The last attempts of the deliveries that came or died last."""
    store, page = services.store, Page(RECENT)
    came = (await store.find_deliveries(DeliveryFilter(destination=name), page)).rows
    died = (await store.find_deliveries(DeliveryFilter(destination=name, state=State.DEAD), page)).rows
    deliveries = {each.id: each for each in (*came, *died)}
    attempts = [(each, attempt) for each in deliveries.values() for attempt in (await store.history(each.id)).attempts]
    attempts.sort(key=lambda pair: pair[1].ended_at_ms, reverse=True)
    return [_attempt(delivery, attempt) for delivery, attempt in attempts[:RECENT]]


def _attempt(delivery: Delivery, attempt: Attempt) -> Row:
    return {
        **attempt_row(attempt),
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "key": delivery.key,
        "ended_at": rfc3339(attempt.ended_at_ms),
    }
