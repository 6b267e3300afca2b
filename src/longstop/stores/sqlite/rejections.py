"""Refused requests: counts, samples, and what is held apart. Each function is inside one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from longstop.model.listing import Listing, Page
from longstop.model.rejection import (
    SAMPLES_KEPT,
    HeldCount,
    HeldRequest,
    HoldRoom,
    HoldSettings,
    Rejection,
    RejectionCount,
)
from longstop.stores.sql.operators_rows import (
    HELD_COLUMNS,
    REJECTION_COLUMNS,
    REJECTION_COUNT_COLUMNS,
    held_of,
    held_row,
    rejection_count_of,
    rejection_count_row,
    rejection_of,
    rejection_row,
)
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import Row, columns

_COUNT = """
    INSERT INTO rejection_counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET count = count + excluded.count, first_at_ms = min(first_at_ms, excluded.first_at_ms),
        last_at_ms = max(last_at_ms, excluded.last_at_ms)
"""
_PRUNE = """
    DELETE FROM rejections WHERE source = ?1
        AND id <= (SELECT id FROM rejections WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
"""
_COUNTS = "SELECT source, reason, count, first_at_ms, last_at_ms FROM rejection_counts ORDER BY source, reason"
_HELD_COUNTS = "SELECT source, count(*), sum(size), min(received_at_ms) FROM held_requests GROUP BY source"
_HELD_BY_SENDER = "SELECT sender, count(*), sum(size) FROM held_requests WHERE source = ? GROUP BY sender"


def _insert(table: str, names: list[str]) -> str:
    # OR REPLACE: a batch whose commit was reported as failed, and was made all the same, comes a second time.
    return f"INSERT OR REPLACE INTO {table} ({columns(names)}) VALUES ({', '.join('?' * len(names))})"


_INSERT_REJECTION = _insert("rejections", REJECTION_COLUMNS)
_INSERT_HELD = _insert("held_requests", HELD_COLUMNS)


# -- counts and samples -------------------------------------------------------------------------


def record(connection: apsw.Connection, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
    """Add to the counts, and keep the last samples of each source."""
    for each in counts:
        connection.execute(_COUNT, rejection_count_row(each))
    for sample in samples:
        connection.execute(_INSERT_REJECTION, rejection_row(sample))
    for source in {sample.source for sample in samples}:
        connection.execute(_PRUNE, (source, SAMPLES_KEPT))


_to_rejection = unreadable.reader("refused request", REJECTION_COLUMNS, rejection_of, known_by=1)


def rejections(connection: apsw.Connection, source: str, page: Page) -> Listing[Rejection]:
    """One page of a source's samples."""
    rows, next_after = _page(connection, "rejections", REJECTION_COLUMNS, source, page)
    return Listing(tuple(unreadable.each(rows, _to_rejection)), next_after)


def counts(connection: apsw.Connection) -> list[RejectionCount]:
    """How many there were, by source and reason."""
    return list(unreadable.each(connection.execute(_COUNTS), _to_count))


_to_count = unreadable.reader("count of refused requests", REJECTION_COUNT_COLUMNS, rejection_count_of)


def forget(connection: apsw.Connection, before_ms: int) -> int:
    """Drop samples and counts from before a time."""
    connection.execute("DELETE FROM rejection_counts WHERE last_at_ms < ?", (before_ms,))
    connection.execute("DELETE FROM rejections WHERE at_ms < ?", (before_ms,))
    return connection.changes()


def _page(
    connection: apsw.Connection, table: str, names: list[str], source: str, page: Page
) -> tuple[list[Row], str | None]:
    """The rows of one page, and the id that the next one is behind. The id is the second column."""
    order, behind = ("DESC", "<") if page.newest_first else ("ASC", ">")
    given: list[Any] = [source]
    after = ""
    if page.after is not None:
        after = f"AND id {behind} ?"
        given.append(page.after)
    query = f"SELECT {columns(names)} FROM {table} WHERE source = ? {after} ORDER BY id {order} LIMIT ?"
    rows = list(unreadable.fetched(connection.execute(query, (*given, page.limit + 1)), source))
    shown = rows[: page.limit]
    return shown, shown[-1][1] if len(rows) > len(shown) else None


# -- held requests ------------------------------------------------------------------------------


def _held_by_sender(connection: apsw.Connection, source: str) -> dict[str, tuple[int, int]]:
    return {sender: (number, size) for sender, number, size in connection.execute(_HELD_BY_SENDER, (source,))}


def hold(
    connection: apsw.Connection, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]
) -> list[bool]:
    """Keep what there is room for."""
    sources = {each.source for each in requests}
    rooms = {source: HoldRoom(limits[source], _held_by_sender(connection, source)) for source in sources}
    taken = [rooms[each.source].take(each.sender, each.size) for each in requests]
    for each, has_room in zip(requests, taken, strict=True):
        if has_room:
            connection.execute(_INSERT_HELD, held_row(each))
    return taken


_to_held = unreadable.reader("held request", HELD_COLUMNS, held_of, known_by=1)


def held_requests(connection: apsw.Connection, source: str, page: Page) -> Listing[HeldRequest]:
    """One page of what is held of a source."""
    rows, next_after = _page(connection, "held_requests", HELD_COLUMNS, source, page)
    return Listing(tuple(unreadable.each(rows, _to_held)), next_after)


def held_counts(connection: apsw.Connection) -> list[HeldCount]:
    """What is held, by source."""
    rows: list[Row] = connection.execute(_HELD_COUNTS).fetchall()
    return [HeldCount(*row) for row in rows]


def drop_held(connection: apsw.Connection, source: str, ids: Sequence[str]) -> int:
    """Let go of them."""
    dropped = 0
    for id_ in ids:
        connection.execute("DELETE FROM held_requests WHERE source = ? AND id = ?", (source, id_))
        dropped += connection.changes()
    return dropped


def forget_held(connection: apsw.Connection, source: str, before_ms: int) -> int:
    """Drop what was received before a time."""
    connection.execute("DELETE FROM held_requests WHERE source = ? AND received_at_ms < ?", (source, before_ms))
    return connection.changes()
