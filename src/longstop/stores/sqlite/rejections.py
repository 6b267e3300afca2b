"""Refused requests: counts, samples, and what is held apart. Each function is inside one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.listing import Listing, Page
from longstop.model.rejection import (
    SAMPLES_KEPT,
    HeldCount,
    HeldRequest,
    HoldSettings,
    Rejection,
    RejectionCount,
    RejectionReason,
)
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import Row, columns

_REQUEST = "method client path query headers body".split()
_REJECTION = [*"source id at_ms reason status problems body_bytes body_kept asked nearest".split(), *_REQUEST]
_HELD = [*"source id received_at_ms sender fingerprint size".split(), *_REQUEST]

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

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode
_decode_problems = msgspec.msgpack.Decoder(tuple[str, ...]).decode


def _insert(table: str, names: list[str]) -> str:
    # OR REPLACE: a batch whose commit was reported as failed, and was made all the same, comes a second time.
    return f"INSERT OR REPLACE INTO {table} ({columns(names)}) VALUES ({', '.join('?' * len(names))})"


_INSERT_REJECTION = _insert("rejections", _REJECTION)
_INSERT_HELD = _insert("held_requests", _HELD)


def _request_row(request: Request) -> Row:
    headers = msgspec.msgpack.encode(request.headers.raw)
    return (request.method, request.client, request.path, request.query, headers, request.body)


def _to_request(row: Row) -> Request:
    method, client, path, query, headers, body = row
    return Request(Headers.from_wire(_decode_headers(headers)), body, method, client, path, query)


# -- counts and samples -------------------------------------------------------------------------


def record(connection: apsw.Connection, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
    """Add to the counts, and keep the last samples of each source."""
    for each in counts:
        connection.execute(_COUNT, (each.source, each.reason.value, each.count, each.first_at_ms, each.last_at_ms))
    for sample in samples:
        connection.execute(_INSERT_REJECTION, _rejection_row(sample))
    for source in {sample.source for sample in samples}:
        connection.execute(_PRUNE, (source, SAMPLES_KEPT))


def _rejection_row(r: Rejection) -> Row:
    problems = msgspec.msgpack.encode(r.problems)
    of_it = (r.source, r.id, r.at_ms, r.reason.value, r.status, problems, r.body_bytes, r.body_kept, r.asked, r.nearest)
    return (*of_it, *_request_row(r.request))


def _rejection(row: Row) -> Rejection:
    source, id_, at_ms, reason, status, problems, body_bytes, body_kept, asked, nearest, *request = row
    return Rejection(
        id=id_,
        source=source,
        at_ms=at_ms,
        reason=RejectionReason(reason),
        status=status,
        problems=_decode_problems(problems),
        request=_to_request(tuple(request)),
        body_bytes=body_bytes,
        body_kept=bool(body_kept),
        asked=asked,
        nearest=nearest,
    )


_to_rejection = unreadable.reader("refused request", _REJECTION, _rejection, known_by=1)


def rejections(connection: apsw.Connection, source: str, page: Page) -> Listing[Rejection]:
    """One page of a source's samples."""
    rows, next_after = _page(connection, "rejections", _REJECTION, source, page)
    return Listing(tuple(unreadable.each(rows, _to_rejection)), next_after)


def counts(connection: apsw.Connection) -> list[RejectionCount]:
    """How many there were, by source and reason."""
    return list(unreadable.each(connection.execute(_COUNTS), _to_count))


def _count(row: Row) -> RejectionCount:
    source, reason, *rest = row
    return RejectionCount(source, RejectionReason(reason), *rest)


_to_count = unreadable.reader("count of refused requests", "source reason count first_at_ms last_at_ms".split(), _count)


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


class _Room:
    """What is held of one source, and by whom."""

    def __init__(self, connection: apsw.Connection, source: str, limit: HoldSettings) -> None:
        self._limit = limit
        held = connection.execute(_HELD_BY_SENDER, (source,))
        self._of_sender: dict[str, tuple[int, int]] = {sender: (number, size) for sender, number, size in held}

    def take(self, sender: str, size: int) -> bool:
        """Whether there is room for one more of so many bytes; it is taken then."""
        requests, taken = (sum(each) for each in zip(*self._of_sender.values(), (0, 0), strict=True))
        of_sender = self._of_sender.get(sender, (0, 0))
        requests_share, bytes_share = self._limit.share
        if requests + 1 > self._limit.max_requests or taken + size > self._limit.max_bytes:
            return False
        if of_sender[0] + 1 > requests_share or of_sender[1] + size > bytes_share:
            return False
        self._of_sender[sender] = (of_sender[0] + 1, of_sender[1] + size)
        return True


def hold(
    connection: apsw.Connection, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]
) -> list[bool]:
    """Keep what there is room for."""
    rooms = {source: _Room(connection, source, limits[source]) for source in {each.source for each in requests}}
    taken = [rooms[each.source].take(each.sender, each.size) for each in requests]
    for each, has_room in zip(requests, taken, strict=True):
        if has_room:
            connection.execute(_INSERT_HELD, _held_row(each))
    return taken


def _held_row(h: HeldRequest) -> Row:
    return (h.source, h.id, h.received_at_ms, h.sender, h.fingerprint, h.size, *_request_row(h.request))


def _held(row: Row) -> HeldRequest:
    source, id_, received_at_ms, sender, fingerprint, _size, *request = row
    return HeldRequest(id_, source, received_at_ms, _to_request(tuple(request)), sender, fingerprint)


_to_held = unreadable.reader("held request", _HELD, _held, known_by=1)


def held_requests(connection: apsw.Connection, source: str, page: Page) -> Listing[HeldRequest]:
    """One page of what is held of a source."""
    rows, next_after = _page(connection, "held_requests", _HELD, source, page)
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
