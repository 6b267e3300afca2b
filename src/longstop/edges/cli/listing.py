"""What commands that list share: rows as JSON, where a listing goes on, and what is said where there is nothing."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import say
from longstop.edges.cli.options import checked_limit
from longstop.edges.cli.times import moment
from longstop.edges.rows.values import Row
from longstop.model.listing import Listing, Page

OldestFirst = Annotated[bool, Parameter(name="--oldest-first", help="The oldest first.", show_default=False)]
After = Annotated[str | None, Parameter(name="--after", help="Go on behind this row, as a listing said.")]

_AT_ONCE = 1_000
_PAGES = 10
"""How far the rows that are not shown are counted: ten thousand of them."""


def page_of(limit: int, oldest_first: bool, after: str | None) -> Page:
    """The page that the options ask for. Raises UsageError."""
    return Page(checked_limit(limit), after, newest_first=not oldest_first)


def json_lines(objects: Iterable[Row]) -> None:
    """One object a line."""
    for row in objects:
        output.json_line(row)


async def say_what_is_not_shown(
    what: str, found: Listing[Any], page: Page, ask: Callable[[Page], Awaitable[Listing[Any]]]
) -> None:
    """Tell a person that the listing is empty, or how much more of it there is and how to see it."""
    if found.searched_to_ms is not None:
        direction = "back to" if page.newest_first else "up to"
        say([f"Searched {direction} {moment(found.searched_to_ms)}; --after {found.next_after} goes on."])
    elif found.next_after is not None:
        more, all_of_them = await _count(replace(page, after=found.next_after, limit=_AT_ONCE), ask)
        shown = len(found.rows)
        if all_of_them:
            say([f"{more} more; --limit {shown + more} shows all, --after {found.next_after} goes on."])
        else:
            say([f"More than {more} more; --after {found.next_after} goes on."])
    elif not found.rows:
        say([f"No {what} matches."])


async def _count(page: Page, ask: Callable[[Page], Awaitable[Listing[Any]]]) -> tuple[int, bool]:
    """How many rows there are from here on, and whether that is all of them."""
    count = 0
    for _ in range(_PAGES):
        found = await ask(page)
        count += len(found.rows)
        if found.next_after is None:
            return count, True
        if found.searched_to_ms is not None:
            break
        page = replace(page, after=found.next_after)
    return count, False
