"""What could not be delivered, and why: each, or by what they died of."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import listings
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.rows.deliveries import dead_row, group_row
from longstop.edges.rows.known import as_stored, expect_known
from longstop.model.delivery import State


def list_dead(
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what could not be delivered, newest first. `longstop replay` takes the same filters."""
    page, wanted = page_of(limit, oldest_first, after), which.filter(program.clock.now_ms())

    async def work(parts: Parts) -> int:
        await expect_known(parts, wanted.source, wanted.destination)
        found = await parts.store.find_deliveries(wanted, page)
        if json:
            json_lines(dead_row(delivery) for delivery in found.rows)
        elif found.rows:
            listings.write_deliveries(found.rows, parts.clock.now_ms())
        await say_what_is_not_shown(
            "dead delivery", found, page, lambda next_page: parts.store.find_deliveries(wanted, next_page)
        )
        return DONE

    return on_store(program, config, work)


def summarize_dead(
    *,
    destination: Annotated[str | None, Parameter(help="For this destination.")] = None,
    limit: Limit = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Say what they died of: how many of each destination, reason, status and error, the most first.

    Numbers and ids in errors are taken out, so that the same error is one row.
    """
    checked_limit(limit)

    async def work(parts: Parts) -> int:
        wanted = as_stored(destination)
        await expect_known(parts, None, wanted)
        groups = await parts.store.dead_groups(wanted, limit)
        if json:
            json_lines(group_row(group) for group in groups)
        elif groups:
            listings.write_groups(groups, parts.clock.now_ms())
        await _say_what_is_not_summed_up(parts, wanted, sum(group.count for group in groups))
        return DONE

    return on_store(program, config, work)


async def _say_what_is_not_summed_up(parts: Parts, destination: str | None, shown: int) -> None:
    counts = (await parts.store.counts()).deliveries
    dead = sum(states.get(State.DEAD, 0) for name, states in counts.items() if destination in (None, name))
    if dead == 0:
        say(["Nothing is dead."])
    elif dead > shown:
        say([f"{dead - shown} more are dead, of other errors; a higher --limit shows them."])
