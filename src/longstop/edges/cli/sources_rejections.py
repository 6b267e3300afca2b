"""Rejections of a source: the last requests that were refused, and what is wrong with each."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import tables, times
from longstop.edges.cli.errors import DONE, UsageError, say
from longstop.edges.cli.listing import json_lines
from longstop.edges.cli.listings import id_cell, time_cell
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.sources import named
from longstop.edges.cli.tables import Column
from longstop.edges.rows.sources import rejection_row
from longstop.model.listing import Page
from longstop.model.rejection import UNKNOWN, Rejection, RejectionCount


def list_rejections(
    name: Annotated[str | None, Parameter(name="NAME", help="A source of the configuration.")] = None,
    /,
    *,
    unknown: Annotated[
        bool, Parameter(help="What was posted to names that no source has.", show_default=False)
    ] = False,
    limit: Limit = 20,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List the last requests of a source that were refused, newest first, and what is wrong with each.

    Credentials are never kept; bodies only where the source has keep_rejected_bodies.
    """
    page = Page(checked_limit(limit))
    if (name is None) != unknown:
        raise UsageError("expected NAME, a source, or --unknown, for names that no source has")

    async def work(parts: Parts) -> int:
        source = UNKNOWN if name is None else named(parts.config, name).name
        found = await parts.store.rejections(source, page)
        if json:
            json_lines(map(rejection_row, found.rows))
            return DONE
        if found.rows:
            _write(found.rows, parts.clock.now_ms())
        _say_counts([each for each in await parts.store.rejection_counts() if each.source == source])
        return DONE

    return on_store(program, config, work)


COLUMNS = (
    Column("rejection"),
    Column("when", right=True),
    Column("answer", right=True),
    Column("reason", least=8),
    Column("from", least=9),
    Column("what is wrong", least=20),
)


def _write(rejections: tuple[Rejection, ...], now_ms: int) -> None:
    rows = [
        (
            id_cell(each.id),
            time_cell(each.at_ms, now_ms),
            str(each.status),
            each.reason.value,
            each.request.client or "",
            "; ".join(_wrong(each)),
        )
        for each in rejections
    ]
    tables.write(COLUMNS, rows)


def _wrong(rejection: Rejection) -> list[str]:
    asked = [f'posted to "{rejection.asked}"'] if rejection.asked else []
    nearest = [f'did you mean "{rejection.nearest}"?'] if rejection.nearest else []
    return [*asked, *rejection.problems, *nearest]


def _say_counts(counts: list[RejectionCount]) -> None:
    if not counts:
        say(["Nothing was refused lately."])
    for each in counts:
        say([f"{each.count} refused since {times.moment(each.first_at_ms)}, reason {each.reason.value}."])
