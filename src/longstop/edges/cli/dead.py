"""What could not be delivered, and why: each, or by what they died of."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import listings
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import AsJson, Injected, Limit, checked_limit
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.known import QUARANTINE


def list_dead(
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what could not be delivered, newest first. `longstop replay` takes the same filters."""
    page, wanted = page_of(limit, oldest_first, after), which.filter(program.clock.now_ms())

    async def work(desk: Desk) -> int:
        rows = desk.deliveries(wanted)
        found = await rows.page(page)
        if json:
            json_lines(found.items)
        elif found.items:
            listings.write_deliveries(found.items, desk.clock.now_ms())
        await say_what_is_not_shown("dead delivery", found, page, rows)
        return DONE

    return at_desk(program, where, work)


def summarize_dead(
    *,
    destination: Annotated[str | None, Parameter(help="For this destination.")] = None,
    limit: Limit = 50,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Say what they died of: how many of each destination, reason, status and error, the most first.

    Numbers and ids in errors are taken out, so that the same error is one row.
    """
    checked_limit(limit)

    async def work(desk: Desk) -> int:
        groups = await desk.dead_groups(destination, limit)
        if json:
            json_lines(groups)
        elif groups:
            listings.write_groups(groups, desk.clock.now_ms())
        await _say_what_is_not_summed_up(desk, destination, sum(group["count"] for group in groups))
        return DONE

    return at_desk(program, where, work)


async def _say_what_is_not_summed_up(desk: Desk, destination: str | None, shown: int) -> None:
    standing = (await desk.status())["destinations"]
    dead = sum(each["dead"] for each in standing if destination in (None, each["destination"] or QUARANTINE))
    if dead == 0:
        say(["Nothing is dead."])
    elif dead > shown:
        say([f"{dead - shown} more are dead, of other errors; a higher --limit shows them."])
