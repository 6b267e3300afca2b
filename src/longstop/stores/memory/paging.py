"""Pages of what is kept by a key."""

from collections.abc import Mapping
from typing import TypeVar

from longstop.model.listing import Listing, Page

T = TypeVar("T")


def page_of(rows: Mapping[str, T], page: Page) -> Listing[T]:
    """One page of rows, by their keys."""
    keys = sorted(rows, reverse=page.newest_first)
    after = page.after
    if after is not None:
        keys = [key for key in keys if (key < after if page.newest_first else key > after)]
    shown = keys[: page.limit]
    return Listing(tuple(rows[key] for key in shown), shown[-1] if len(keys) > len(shown) else None)
