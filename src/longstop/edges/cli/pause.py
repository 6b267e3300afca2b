"""Pausing a destination and letting it go on. What is for it meanwhile waits, and is never discarded."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, times
from longstop.edges.cli.errors import DONE, CommandError, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.rows.status import paused_row, resumed_row
from longstop.model.action import Pause

Destination = Annotated[str, Parameter(name="DESTINATION", help="As the configuration names it.")]


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
        done = await parts.pausing(caller()).pause(destination, why)
        if json:
            output.json_line(paused_row(destination, done))
        elif done.earlier is None:
            output.line(f"{destination} is paused; {_waiting(done.waiting)} for it so far")
        elif done.now is None or not done.changed:
            output.line(f"{destination} is paused already, {_since(done.earlier)}")
        else:
            output.line(f"{destination} was paused already, {_since(done.earlier)}; the reason is now: {done.now.why}")
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
        stopped = {each.destination for each in await parts.store.pauses()}
        if destination not in stopped | {each.destination for each in await parts.store.circuits()}:
            await _expect_known(parts, destination)
        done = await parts.pausing(caller()).resume(destination)
        if done.alert_error is not None:
            say([f"longstop: the alert was not sent: {done.alert_error}"])
        if json:
            output.json_line(resumed_row(destination, done))
        elif done.pause or done.circuit:
            output.line(f"{destination} goes on; {_waiting(done.waiting)} for it")
            if done.pause:
                output.line(f"  it was paused {_since(done.pause)}")
            if done.circuit:
                output.line(
                    f"  its circuit was open since {times.moment(done.circuit.opened_at_ms)}: {done.circuit.why}"
                )
        else:
            output.line(f"{destination} was not paused, and its circuit is closed")
        return DONE

    return on_store(program, config, work)


def _since(pause: Pause) -> str:
    why = f": {pause.why}" if pause.why else ""
    return f"since {times.moment(pause.at_ms)} by {pause.by}{why}"


def _waiting(number: int) -> str:
    return f"{number} delivery waits" if number == 1 else f"{number} deliveries wait"


async def _expect_known(parts: Parts, destination: str) -> None:
    """Destinations that exist in an application's code alone are known by what was ever kept for them."""
    names = {each.name for each in parts.config.destinations} | set((await parts.store.counts()).deliveries) - {""}
    if destination not in names:
        known = ", ".join(sorted(names)) or "(there is none)"
        raise CommandError(f'found no destination "{destination}"; expected one of: {known}')
