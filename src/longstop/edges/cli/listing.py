"""What commands that list share: rows as JSON, and what is said where there are none, or more."""

from collections.abc import Iterable

from longstop.edges.cli import output, rows
from longstop.edges.cli.errors import say
from longstop.model.ids import is_id


def json_lines(objects: Iterable[rows.Row]) -> None:
    """One object a line."""
    for row in objects:
        output.json_line(row)


def say_if_none_or_more(what: str, count: int, next_after: str | None) -> None:
    """Tell a person that the listing is empty, or that it goes on."""
    if next_after is not None:
        say([f"There are more; --limit {count * 10} shows more of them."])
    elif count == 0:
        say([f"No {what} matches."])


def not_found(id_: str) -> str:
    """What to say of an id that nothing has."""
    if not is_id(id_):
        return f'found "{id_}"; expected an id such as 019ab0c2-7d1e-7000-8000-0123456789ab; `events list` shows ids'
    return f"no event or delivery has the id {id_}; `longstop events list` and `longstop dead list` show ids"
