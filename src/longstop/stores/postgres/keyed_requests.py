"""Requests with an Idempotency-Key: a row each, for a day."""

from typing import Any

import asyncpg

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.postgres.rows import reader

FORGOTTEN_AT_ONCE = 100
_COLUMNS = '"by", key, fingerprint, began_at_ms, expires_at_ms, status, body'
_UNDER_WAY = '"by" = $1 AND key = $2 AND fingerprint = $3 AND began_at_ms = $4 AND status IS NULL'
_FIND = f'SELECT {_COLUMNS} FROM keyed_requests WHERE "by" = $1 AND key = $2'
_TAKE = f"""
    INSERT INTO keyed_requests ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, NULL, NULL)
    ON CONFLICT ("by", key) DO UPDATE SET fingerprint = excluded.fingerprint, began_at_ms = excluded.began_at_ms,
        expires_at_ms = excluded.expires_at_ms, status = NULL, body = NULL
    WHERE keyed_requests.expires_at_ms <= excluded.began_at_ms
    RETURNING true
"""
"""The key is taken if it is free or its time is over."""
_ANSWER = f"UPDATE keyed_requests SET status = $5, body = $6 WHERE {_UNDER_WAY}"
_DROP = f"DELETE FROM keyed_requests WHERE {_UNDER_WAY}"
_FORGET = f"""
    DELETE FROM keyed_requests WHERE ("by", key) IN (
        SELECT "by", key FROM keyed_requests WHERE expires_at_ms <= $1
        ORDER BY expires_at_ms LIMIT {FORGOTTEN_AT_ONCE} FOR UPDATE SKIP LOCKED)
"""


async def begin(connection: asyncpg.Connection, request: KeyedRequest) -> KeyedRequest | None:
    """Keep a request as under way, unless its key is taken by one that has not expired."""
    while not await connection.fetchval(_TAKE, *_place(request), request.expires_at_ms):
        row = await connection.fetchrow(_FIND, request.by, request.key)
        # Who held it may have let go of it in between; then it is free.
        if row is not None:
            return _to_request(row)
    await connection.execute(_FORGET, request.began_at_ms)
    return None


async def answer(connection: asyncpg.Connection, request: KeyedRequest, given: KeptAnswer) -> None:
    """Keep what a request was answered."""
    await connection.execute(_ANSWER, *_place(request), given.status, given.body)


async def drop(connection: asyncpg.Connection, request: KeyedRequest) -> None:
    """Take the row of one that is under way away."""
    await connection.execute(_DROP, *_place(request))


def _place(request: KeyedRequest) -> tuple[Any, ...]:
    return request.by, request.key, request.fingerprint, request.began_at_ms


def _request(row: asyncpg.Record) -> KeyedRequest:
    by, key, fingerprint, began_at_ms, expires_at_ms, status, body = row
    answered = None if status is None else KeptAnswer(status, body)
    return KeyedRequest(by, key, fingerprint, began_at_ms, expires_at_ms, answered)


_to_request = reader("request with the Idempotency-Key", _request, known_by=1)
