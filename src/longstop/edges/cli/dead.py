"""What could not be delivered, and why."""

from longstop.edges.cli import rows
from longstop.edges.cli.errors import DONE
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.listing import json_lines, say_if_none_or_more
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Parts, on_store
from longstop.model.listing import Page


def list_dead(
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    limit: Limit = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what could not be delivered, newest first. `longstop replay` takes the same filters."""
    page, wanted = Page(checked_limit(limit)), which.filter(program.clock.now_ms())

    async def work(parts: Parts) -> int:
        found = await parts.store.find_deliveries(wanted, page)
        if json:
            json_lines(rows.dead_row(delivery) for delivery in found.rows)
        elif found.rows:
            rows.delivery_table(found.rows)
        say_if_none_or_more("dead delivery", len(found.rows), found.next_after)
        return DONE

    return on_store(program, config, work)
