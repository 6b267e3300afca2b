"""Between rows and the model: the columns, in one order, and both directions.

A delivery that is not over has a narrow row in `queue` beside its wide one in `deliveries`: what a lease writes stands
only there. So a delivery is read from both (`DELIVERIES`, `DELIVERY`).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

import structlog

from longstop.model.errors import UnreadableRowError
from longstop.stores.sql.rows import DELIVERY_COLUMNS, EVENT_COLUMNS, Row, action_of, attempt_of, delivery_of, event_of

T = TypeVar("T")

log = structlog.get_logger("longstop.store")

_IN_QUEUE = {
    "state": "CASE WHEN q.lease_until_ms IS NULL THEN d.state ELSE 'leased' END",
    "token": "coalesce(q.token, d.token)",
    **{name: f"q.{name}" for name in ("leased_at_ms", "lease_until_ms", "worker")},
}

DELIVERIES = "deliveries d LEFT JOIN queue q ON q.id = d.id"
"""Where a delivery is read from; scheduled: `q.lease_until_ms IS NULL` of a `q.id` that is there; held: `q.held`."""
DELIVERY = ", ".join(f"{_IN_QUEUE.get(name, f'd.{name}')} AS {name}" for name in DELIVERY_COLUMNS)
"""The columns of a delivery as it stands, in the order of DELIVERY_COLUMNS."""
THESE = "unnest($1::varchar[]) AS this"
"""Ids that are asked for, each once, as a table to join: one look-up for each, in its own span alone. Of a list of ids
(`= ANY`) a planner that knows little of the table thinks that they may well be most of it, and reads all of it; and a
plan that is made for any of them looks into each span (see spans.py)."""
EVENT = ", ".join(f"e.{name}" for name in EVENT_COLUMNS)
"""The columns of an event, in the order of EVENT_COLUMNS."""


def columns(names: Iterable[str], table: str = "") -> str:
    """The column list of a SELECT or INSERT, qualified by `table` if given."""
    return ", ".join(f'{table}."{name}"' if table else f'"{name}"' for name in names)


def reader(what: str, make: Callable[[Row], T], known_by: int = 0) -> Callable[[Row], T]:
    """`make`, which raises ValueError or TypeError for what it cannot read, as one that raises UnreadableRowError.

    what: what a row is, for people. known_by: the place of the column that says which.
    """

    def read(row: Row) -> T:
        try:
            return make(row)
        except (TypeError, ValueError) as error:
            raise UnreadableRowError(f"{what} {row[known_by]}", str(error)) from None

    return read


def each(rows: Iterable[Row], read: Callable[[Row], T], of: str = "") -> Iterator[T]:
    """What can be read of these rows; what cannot is told and left out. of: what they belong to, for people."""
    for row in rows:
        try:
            made = read(row)
        except UnreadableRowError as error:
            _tell(f"{error.row} of {of}" if of else error.row, error.trouble)
            continue
        yield made


@lru_cache(maxsize=1_000)
def _tell(row: str, trouble: str) -> None:
    """Once: most of what reads it does so again and again."""
    log.error("row_unreadable", row=row, error=trouble)


to_event = reader("event", event_of)
"""The event of a row in the order of EVENT_COLUMNS. This and the others raise UnreadableRowError."""
to_delivery = reader("delivery", delivery_of)
"""The delivery of a row in the order of DELIVERY_COLUMNS."""
to_attempt = reader("attempt", attempt_of)
"""The attempt of a row in the order of ATTEMPT_COLUMNS."""
to_action = reader("action", action_of)
"""The record of an action of a row in the order of ACTION_COLUMNS."""
