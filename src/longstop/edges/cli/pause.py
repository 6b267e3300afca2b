"""Pausing a destination and letting it go on. What is for it meanwhile is held, never discarded."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, CommandError, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import person
from longstop.edges.cli.program import Parts, on_store
from longstop.model.action import Pause
from longstop.model.breaker import CircuitChange
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
    """Send a destination nothing more until `longstop resume`. Events for it are accepted and held.

    Attempts that are under way go on to their end. A pause outlives a restart.
    """

    async def work(parts: Parts) -> int:
        await _expect_known(parts, destination)
        changed = await parts.store.pause(Pause(destination, parts.clock.now_ms(), person(), why))
        held = await _waiting(parts, destination)
        if json:
            output.json_line({"destination": destination, "paused": True, "changed": changed, "held": held})
        elif changed:
            output.line(f"{destination} is paused; {held} {_deliveries(held)} for it so far")
        else:
            (earlier,) = [each for each in await parts.store.pauses() if each.destination == destination]
            output.line(f"{destination} is paused already, since {output.for_people(earlier.at_ms)} by {earlier.by}")
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
    """End a destination's pause: what was held goes out now. One whose circuit is open is tried again at once."""

    async def work(parts: Parts) -> int:
        paused = {each.destination for each in await parts.store.pauses()}
        if destination not in paused | {each.destination for each in await parts.store.circuits()}:
            await _expect_known(parts, destination)
        changed = await parts.store.resume(destination)
        changed |= await _close_circuit(parts, destination)
        held = await _waiting(parts, destination)
        if json:
            output.json_line({"destination": destination, "paused": False, "changed": changed, "held": held})
        elif changed:
            output.line(f"{destination} goes on; {held} {_deliveries(held)} for it")
        else:
            output.line(f"{destination} was not paused")
        return DONE

    return on_store(program, config, work)


async def _close_circuit(parts: Parts, destination: str) -> bool:
    """A person knows that the destination works again. If it does not, the circuit opens again."""
    for circuit in await parts.store.circuits():
        if circuit.destination == destination:
            if not await parts.store.change_circuit(destination, circuit.version, None):
                return False
            # Who closed it says so. A gateway only sees that somebody has, and of several gateways each does.
            change = CircuitChange.closed(circuit, f"{person()} resumed it", parts.clock.now_ms())
            if (error := await parts.alert(change)) is not None:
                say([f"longstop: the alert was not sent: {error}"])
            return True
    return False


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
