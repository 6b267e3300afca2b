"""What commands that list share: rows as JSON, where a listing goes on, and what is said where there is nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import say
from longstop.edges.cli.options import checked_limit
from longstop.edges.cli.times import moment
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.listing import Page

if TYPE_CHECKING:
    from longstop.edges.desk.desk import RowList, RowPage

OldestFirst = Annotated[bool, Parameter(name="--oldest-first", help="The oldest first.", show_default=False)]
After = Annotated[str | None, Parameter(name="--after", help="Go on behind this row, as a listing said.")]

_AT_ONCE = 1_000


def page_of(limit: int, oldest_first: bool, after: str | None) -> Page:
    """The page that the options ask for. Raises UsageError."""
    return Page(checked_limit(limit), after, newest_first=not oldest_first)


def json_lines(objects: Iterable[Row]) -> None:
    """One object a line."""
    for row in objects:
        output.json_line(row)


def first(rows: Sequence[Row], limit: int) -> Sequence[Row]:
    """The first of rows that are there whole; how many more there are is said. Raises UsageError."""
    more = len(rows) - checked_limit(limit)
    if more > 0:
        say([f"{more} more; --limit {len(rows)} shows all."])
    return rows[:limit]


def say_there_are_more(found: "RowPage") -> None:
    """Tell a person of a short list that it goes on."""
    if found.next is not None:
        say(["There are more; a higher --limit shows them."])


async def say_what_is_not_shown(what: str, found: "RowPage", page: Page, rows: "RowList") -> None:
    """Tell a person that the listing is empty, or how much more of it there is and how to see it."""
    if found.searched_to is not None:
        direction = "back to" if page.newest_first else "up to"
        say([f"Searched {direction} {moment(ms_of(found.searched_to))}; --after {found.next} goes on."])
    elif found.next is not None:
        more, all_of_them = await _count(replace(page, after=found.next, limit=_AT_ONCE), rows)
        shown = len(found.items)
        if all_of_them:
            say([f"{more} more; --limit {shown + more} shows all, --after {found.next} goes on."])
        else:
            say([f"More than {more} more; --after {found.next} goes on."])
    elif not found.items:
        say([f"No {what} matches."])
    if found.may_lag:
        say(["What came or changed a moment ago may be missing: on AWS, lists follow what is written."])


async def _count(page: Page, rows: "RowList") -> tuple[int, bool]:
    """How many rows there are from here on, and whether that is all of them."""
    count = 0
    while count < rows.counted_up_to:
        found = await rows.bare(page)
        count += len(found.items)
        if found.next is None:
            return count, True
        if found.searched_to is not None:
            break
        page = replace(page, after=found.next)
    return count, False
