"""Pausing a destination and letting it go on. What is for it meanwhile waits, and is never discarded."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, times
from longstop.edges.cli.errors import DONE, CommandError, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import person
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.rows.status import pause_row
from longstop.model.action import Pause
from longstop.model.breaker import Circuit, CircuitChange
from longstop.model.delivery import State

Destination = Annotated[str, Parameter(name="DESTINATION", help="As the configuration names it.")]
_WAITING = (State.SCHEDULED, State.LEASED)


def pause(
    destination: Destination,
    /,
    *,
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Send a destination nothing more until `longstop resume`. Events for it are accepted, and wait.

    Attempts that are under way go on to their end. A pause outlives a restart. Of one that is paused already, --why
    changes the reason.
    """

    async def work(parts: Parts) -> int:
        await _expect_known(parts, destination)
        earlier = await _pause_of(parts, destination)
        # Whoever says no reason does not take back the one that is there.
        if earlier is None or why is not None:
            await parts.store.pause(Pause(destination, parts.clock.now_ms(), person(), why))
        now = await _pause_of(parts, destination)
        held = await _waiting(parts, destination)
        if json:
            row = {"destination": destination, "paused": True, "changed": now != earlier, "held": held}
            output.json_line({**row, **pause_row(now)})
        elif earlier is None:
            output.line(f"{destination} is paused; {held} {_deliveries(held)} for it so far")
        elif now is None or now == earlier:
            output.line(f"{destination} is paused already, {_since(earlier)}")
        else:
            output.line(f"{destination} was paused already, {_since(earlier)}; the reason is now: {now.why}")
        return DONE

    return on_store(program, config, work)


def resume(
    destination: Destination,
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a destination's pause: what waits for it goes out now. One whose circuit is open is tried again at once."""

    async def work(parts: Parts) -> int:
        pause, circuit = await _pause_of(parts, destination), await _circuit_of(parts, destination)
        if pause is None and circuit is None:
            await _expect_known(parts, destination)
        ended = await parts.store.resume(destination)
        closed = circuit is not None and await _close(parts, circuit)
        held = await _waiting(parts, destination)
        if json:
            row = {"destination": destination, "paused": False, "changed": ended or closed, "held": held}
            output.json_line({**row, "pause_ended": ended, "circuit_closed": closed})
        elif ended or closed:
            output.line(f"{destination} goes on; {held} {_deliveries(held)} for it")
            if ended and pause:
                output.line(f"  it was paused {_since(pause)}")
            if closed and circuit:
                output.line(f"  its circuit was open since {times.moment(circuit.opened_at_ms)}: {circuit.why}")
        else:
            output.line(f"{destination} was not paused, and its circuit is closed")
        return DONE

    return on_store(program, config, work)


async def _pause_of(parts: Parts, destination: str) -> Pause | None:
    return next((each for each in await parts.store.pauses() if each.destination == destination), None)


async def _circuit_of(parts: Parts, destination: str) -> Circuit | None:
    return next((each for each in await parts.store.circuits() if each.destination == destination), None)


def _since(pause: Pause) -> str:
    why = f": {pause.why}" if pause.why else ""
    return f"since {times.moment(pause.at_ms)} by {pause.by}{why}"


async def _close(parts: Parts, circuit: Circuit) -> bool:
    """A person knows that the destination works again. If it does not, the circuit opens again."""
    if not await parts.store.change_circuit(circuit.destination, circuit.version, None):
        return False
    # Who closed it says so. A gateway only sees that somebody has, and of several gateways each does.
    change = CircuitChange.closed(circuit, f"{person()} resumed it", parts.clock.now_ms())
    if (error := await parts.alert(change)) is not None:
        say([f"longstop: the alert was not sent: {error}"])
    return True


def _deliveries(number: int) -> str:
    return "delivery waits" if number == 1 else "deliveries wait"


async def _waiting(parts: Parts, destination: str) -> int:
    states = (await parts.store.counts()).deliveries.get(destination, {})
    return sum(states.get(state, 0) for state in _WAITING)


async def _expect_known(parts: Parts, destination: str) -> None:
    """Destinations that exist in an application's code alone are known by what was ever kept for them."""
    names = {each.name for each in parts.config.destinations} | set((await parts.store.counts()).deliveries) - {""}
    if destination not in names:
        known = ", ".join(sorted(names)) or "(there is none)"
        raise CommandError(f'found no destination "{destination}"; expected one of: {known}')
