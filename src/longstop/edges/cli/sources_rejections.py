"""Rejections of a source: the last requests that were refused, and what is wrong with each."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import tables, times
from longstop.edges.cli.errors import DONE, UsageError, say
from longstop.edges.cli.listing import json_lines
from longstop.edges.cli.listings import id_cell, time_cell
from longstop.edges.cli.options import AsJson, Injected, Limit, checked_limit
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.listing import Page


def list_rejections(
    name: Annotated[str | None, Parameter(name="NAME", help="A source of the configuration.")] = None,
    /,
    *,
    unknown: Annotated[
        bool, Parameter(help="What was posted to names that no source has.", show_default=False)
    ] = False,
    limit: Limit = 20,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List the last requests of a source that were refused, newest first, and what is wrong with each.

    Credentials are never kept; bodies only where the source has keep_rejected_bodies.
    """
    page = Page(checked_limit(limit))
    if (name is None) != unknown:
        raise UsageError("expected NAME, a source, or --unknown, for names that no source has")

    async def work(desk: Desk) -> int:
        found = await desk.rejections(name, page)
        if json:
            json_lines(found.items)
            return DONE
        if found.items:
            _write(found.items, desk.clock.now_ms())
        _say_counts([each for each in (await desk.status())["refused"] if each["source"] == name])
        return DONE

    return at_desk(program, where, work)


COLUMNS = (
    Column("rejection"),
    Column("when", right=True),
    Column("answer", right=True),
    Column("reason", least=8),
    Column("from", least=9),
    Column("what is wrong", least=20),
)


def _write(rejections: Sequence[Row], now_ms: int) -> None:
    rows = [
        (
            id_cell(each["id"]),
            time_cell(each["at"], now_ms),
            str(each["status"]),
            each["reason"],
            each["client"] or "",
            "; ".join(_wrong(each)),
        )
        for each in rejections
    ]
    tables.write(COLUMNS, rows)


def _wrong(rejection: Row) -> list[str]:
    asked = [f'posted to "{rejection["asked"]}"'] if rejection["asked"] else []
    nearest = [f'did you mean "{rejection["nearest"]}"?'] if rejection["nearest"] else []
    return [*asked, *rejection["problems"], *nearest]


def _say_counts(counts: Sequence[Row]) -> None:
    if not counts:
        say(["Nothing was refused lately."])
    for each in counts:
        say([f"{each['requests']} refused since {times.moment(ms_of(each['since']))}, reason {each['reason']}."])
