"""Refused requests: counts, samples, and what is held apart. Each function is inside one transaction."""

from collections.abc import Iterable, Mapping, Sequence

import asyncpg
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
from longstop.stores.postgres.rows import each, reader
from longstop.stores.postgres.statements import Condition, Row, arrays, changed, insert, page_of

_REQUEST = {**dict.fromkeys(("method", "client", "path", "query"), "varchar"), "headers": "bytea", "body": "bytea"}
_REJECTION = {
    "source": "varchar",
    "id": "varchar",
    "at_ms": "bigint",
    "reason": "varchar",
    "status": "integer",
    "problems": "bytea",
    "body_bytes": "bigint",
    "body_kept": "boolean",
    "asked": "varchar",
    "nearest": "varchar",
    **_REQUEST,
}
_HELD = {
    "source": "varchar",
    "id": "varchar",
    "received_at_ms": "bigint",
    "sender": "varchar",
    "fingerprint": "bytea",
    "size": "bigint",
    **_REQUEST,
}

# In one order, so that two processes that write the same rows wait for each other instead of both for ever.
_COUNT = """
    INSERT INTO rejection_counts (source, reason, count, first_at_ms, last_at_ms)
    SELECT source, reason, sum(count), min(first), max(last)
    FROM unnest($1::varchar[], $2::varchar[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS given (source, reason, count, first, last)
    GROUP BY source, reason ORDER BY source, reason
    ON CONFLICT (source, reason) DO UPDATE SET count = rejection_counts.count + excluded.count,
        first_at_ms = least(rejection_counts.first_at_ms, excluded.first_at_ms),
        last_at_ms = greatest(rejection_counts.last_at_ms, excluded.last_at_ms)
"""
_PRUNE = """
    DELETE FROM rejections WHERE source = $1
        AND id <= (SELECT id FROM rejections WHERE source = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)
"""
_COUNTS = "SELECT source, reason, count, first_at_ms, last_at_ms FROM rejection_counts ORDER BY source, reason"
_HELD_COUNTS = """
    SELECT source, count(*), sum(size)::bigint, min(received_at_ms) FROM held_requests GROUP BY source ORDER BY source
"""
_HELD_BY_SENDER = "SELECT sender, count(*), sum(size)::bigint FROM held_requests WHERE source = $1 GROUP BY sender"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""Who counts what is held of a source and adds to it is the only one to do so, until the end of its transaction."""
# What comes a second time, because nobody knows whether the first time was done, is the same.
_INSERT_REJECTION = insert("rejections", _REJECTION)
_INSERT_HELD = insert("held_requests", _HELD)

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode
_decode_problems = msgspec.msgpack.Decoder(tuple[str, ...]).decode


def _request_row(request: Request) -> Row:
    headers = msgspec.msgpack.encode(request.headers.raw)
    return (request.method, request.client, request.path, request.query, headers, request.body)


def _to_request(row: Iterable[object]) -> Request:
    method, client, path, query, headers, body = row
    return Request(Headers.from_wire(_decode_headers(headers)), body, method, client, path, query)  # type: ignore[arg-type]


def _of_source(source: str) -> list[Condition]:
    return [Condition("source = {}", (source,))]


# -- counts and samples -------------------------------------------------------------------------


async def record(
    connection: asyncpg.Connection, counts: Sequence[RejectionCount], samples: Sequence[Rejection]
) -> None:
    """Add to the counts, and keep the last samples of each source."""
    if counts:
        rows = [(each.source, each.reason.value, each.count, each.first_at_ms, each.last_at_ms) for each in counts]
        await connection.execute(_COUNT, *arrays(rows, 5))
    if samples:
        rows = sorted(map(_rejection_row, samples), key=lambda row: row[:2])
        await connection.execute(_INSERT_REJECTION, *arrays(rows, len(_REJECTION)))
    for source in sorted({sample.source for sample in samples}):
        await connection.execute(_PRUNE, source, SAMPLES_KEPT)


def _rejection_row(r: Rejection) -> Row:
    problems = msgspec.msgpack.encode(r.problems)
    of_it = (r.source, r.id, r.at_ms, r.reason.value, r.status, problems, r.body_bytes, r.body_kept, r.asked, r.nearest)
    return (*of_it, *_request_row(r.request))


def _rejection(row: asyncpg.Record) -> Rejection:
    source, id_, at_ms, reason, status, problems, body_bytes, body_kept, asked, nearest, *request = row
    return Rejection(
        id=id_,
        source=source,
        at_ms=at_ms,
        reason=RejectionReason(reason),
        status=status,
        problems=_decode_problems(problems),
        request=_to_request(request),
        body_bytes=body_bytes,
        body_kept=body_kept,
        asked=asked,
        nearest=nearest,
    )


_to_rejection = reader("refused request", _rejection, known_by=1)


async def rejections(connection: asyncpg.Connection, source: str, page: Page) -> Listing[Rejection]:
    """One page of a source's samples."""
    return await page_of(connection, "rejections", list(_REJECTION), _of_source(source), page, _to_rejection)


async def counts(connection: asyncpg.Connection) -> list[RejectionCount]:
    """How many there were, by source and reason."""
    return list(each(await connection.fetch(_COUNTS), _to_count))


def _count(row: asyncpg.Record) -> RejectionCount:
    source, reason, *rest = row
    return RejectionCount(source, RejectionReason(reason), *rest)


_to_count = reader("count of refused requests", _count)


async def forget(connection: asyncpg.Connection, before_ms: int) -> int:
    """Drop samples and counts from before a time."""
    await connection.execute("DELETE FROM rejection_counts WHERE last_at_ms < $1", before_ms)
    return changed(await connection.execute("DELETE FROM rejections WHERE at_ms < $1", before_ms))


# -- held requests ------------------------------------------------------------------------------


class _Room:
    """What is held of one source, and by whom."""

    def __init__(self, held: Sequence[asyncpg.Record], limit: HoldSettings) -> None:
        self._limit = limit
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


async def hold(
    connection: asyncpg.Connection, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]
) -> list[bool]:
    """Keep what there is room for."""
    rooms = {}
    for source in sorted({request.source for request in requests}):
        await connection.execute(_ONE_AT_A_TIME, f"held requests of {source}")
        rooms[source] = _Room(await connection.fetch(_HELD_BY_SENDER, source), limits[source])
    taken = [rooms[each.source].take(each.sender, each.size) for each in requests]
    rows = [_held_row(each) for each, has_room in zip(requests, taken, strict=True) if has_room]
    await connection.execute(_INSERT_HELD, *arrays(rows, len(_HELD)))
    return taken


def _held_row(h: HeldRequest) -> Row:
    return (h.source, h.id, h.received_at_ms, h.sender, h.fingerprint, h.size, *_request_row(h.request))


def _held(row: asyncpg.Record) -> HeldRequest:
    source, id_, received_at_ms, sender, fingerprint, _size, *request = row
    return HeldRequest(id_, source, received_at_ms, _to_request(request), sender, fingerprint)


_to_held = reader("held request", _held, known_by=1)


async def held_requests(connection: asyncpg.Connection, source: str, page: Page) -> Listing[HeldRequest]:
    """One page of what is held of a source."""
    return await page_of(connection, "held_requests", list(_HELD), _of_source(source), page, _to_held)


async def held_counts(connection: asyncpg.Connection) -> list[HeldCount]:
    """What is held, by source."""
    return [HeldCount(*row) for row in await connection.fetch(_HELD_COUNTS)]


async def drop_held(connection: asyncpg.Connection, source: str, ids: Sequence[str]) -> int:
    """Let go of them."""
    query = "DELETE FROM held_requests WHERE source = $1 AND id = ANY($2::varchar[])"
    return changed(await connection.execute(query, source, list(ids)))


async def forget_held(connection: asyncpg.Connection, source: str, before_ms: int) -> int:
    """Drop what was received before a time."""
    query = "DELETE FROM held_requests WHERE source = $1 AND received_at_ms < $2"
    return changed(await connection.execute(query, source, before_ms))
