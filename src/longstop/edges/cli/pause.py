"""Pausing a destination and letting it go on. What is for it meanwhile waits, and is never discarded."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, times
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row

Destination = Annotated[str, Parameter(name="DESTINATION", help="As the configuration names it.")]


def pause(
    destination: Destination,
    /,
    *,
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Send a destination nothing more until `longstop resume`. Events for it are accepted, and wait.

    Attempts that are under way go on to their end. A pause outlives a restart. Of one that is paused already, --why
    changes the reason.
    """

    async def work(desk: Desk) -> int:
        earlier = await _standing(desk, destination)
        done = await desk.pause(destination, why)
        if json:
            output.json_line(done)
        elif earlier is None or earlier["paused_at"] is None:
            output.line(f"{destination} is paused; {_waiting(done['held'])} for it so far")
        elif not done["changed"]:
            output.line(f"{destination} is paused already, {_since(earlier)}")
        else:
            now = done["paused_why"]
            output.line(f"{destination} was paused already, {_since(earlier)}; the reason is now: {now}")
        return DONE

    return at_desk(program, where, work)


def resume(
    destination: Destination,
    /,
    *,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a destination's pause: what waits for it goes out now. One whose circuit is open is tried again at once."""

    async def work(desk: Desk) -> int:
        earlier = await _standing(desk, destination)
        done = await desk.resume(destination)
        if done["alert_error"] is not None:
            say([f"longstop: the alert was not sent: {done['alert_error']}"])
        if json:
            output.json_line(done)
        elif done["changed"]:
            output.line(f"{destination} goes on; {_waiting(done['held'])} for it")
            if done["pause_ended"] and earlier is not None:
                output.line(f"  it was paused {_since(earlier)}")
            if done["circuit_closed"] and earlier is not None and (circuit := earlier["circuit"]) is not None:
                since = times.moment(ms_of(circuit["opened_at"]))
                output.line(f"  its circuit was open since {since}: {circuit['why']}")
        else:
            output.line(f"{destination} was not paused, and its circuit is closed")
        return DONE

    return at_desk(program, where, work)


async def _standing(desk: Desk, destination: str) -> Row | None:
    """How it stands before anything is done."""
    return next((each for each in (await desk.status())["destinations"] if each["destination"] == destination), None)


def _since(paused: Row) -> str:
    why = f": {paused['paused_why']}" if paused["paused_why"] else ""
    return f"since {times.moment(ms_of(paused['paused_at']))} by {paused['paused_by']}{why}"


def _waiting(number: int) -> str:
    return f"{number} delivery waits" if number == 1 else f"{number} deliveries wait"
