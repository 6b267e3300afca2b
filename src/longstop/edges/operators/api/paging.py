"""Lists: the query that asks for a page, the cursor that goes on, and the answer around the rows."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from pydantic import BaseModel

from longstop.client.models import ListOrder
from longstop.edges.operators.api.answers import as_json, list_of
from longstop.edges.operators.api.problems import invalid
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.values import Row
from longstop.model.accounts import is_name
from longstop.model.ids import is_id
from longstop.model.listing import Listing, Page
from longstop.model.times import rfc3339

LIMIT_MAX = 500
"""Rows of a page."""


def page(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most.")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before, or the id of a row.")] = None,
    order: Annotated[ListOrder, Query(description="Which come first.")] = "newest",
) -> Page:
    """The page that a query asks for."""
    return Page(limit, None if cursor is None else _after(cursor), newest_first=order == "newest")


AskedPage = Annotated[Page, Depends(page)]


def oldest_first(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most.")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before, or the id of a row.")] = None,
    order: Annotated[ListOrder, Query(description="Which come first.")] = "oldest",
) -> Page:
    """The same, of what is read from its beginning."""
    return page(limit, cursor, order)


PageFromTheOldest = Annotated[Page, Depends(oldest_first)]


def named(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most.")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before, or the id of a row.")] = None,
) -> Page:
    """The page that a query asks for of what is listed by name."""
    return Page(limit, None if cursor is None else _after(cursor, is_name), newest_first=False)


PageOfNames = Annotated[Page, Depends(named)]


async def items(
    services: Services, model: type[BaseModel], rows: Iterable[Row], found: Listing[Any], **more: str
) -> Response:
    """A listing as it is answered. model: what each row is. more: what stands beside the list."""
    around = {
        **more,
        "next": None if found.next_after is None else cursor_of(found.next_after),
        "searched_to": None if found.searched_to_ms is None else rfc3339(found.searched_to_ms),
        "may_lag": found.may_lag,
    }
    return await list_of(services.clock, "items", as_json(model, rows), around)


def cursor_of(after: str) -> str:
    """The cursor that goes on behind a row. What is in it is nobody's business."""
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def _after(cursor: str, fits: Callable[[str], bool] = is_id) -> str:
    if fits is is_id and is_id(cursor):
        # As the command line has it.
        return cursor
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        after = ""
    if not fits(after):
        raise invalid("query.cursor", cursor[:100], "expected `next` of an earlier page", "leave it out to begin anew")
    return after
