"""Requests with an Idempotency-Key: a row each, for a day."""

from typing import Any

import apsw

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.sqlite import unreadable

MIGRATION = """
    CREATE TABLE keyed_requests (
        "by" TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        began_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        -- NULL: under way
        status INTEGER,
        body BLOB,
        PRIMARY KEY ("by", key)
    ) WITHOUT ROWID;
    CREATE INDEX keyed_requests_expires ON keyed_requests (expires_at_ms);
"""

FORGOTTEN_AT_ONCE = 100
_COLUMNS = '"by", key, fingerprint, began_at_ms, expires_at_ms, status, body'
_PLACE = '"by" = ? AND key = ?'
_UNDER_WAY = f"{_PLACE} AND fingerprint = ? AND began_at_ms = ? AND status IS NULL"
_FIND = f"SELECT {_COLUMNS} FROM keyed_requests WHERE {_PLACE}"
_KEEP = f"INSERT OR REPLACE INTO keyed_requests ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, NULL, NULL)"
_ANSWER = f"UPDATE keyed_requests SET status = ?, body = ? WHERE {_UNDER_WAY}"
_DROP = f"DELETE FROM keyed_requests WHERE {_UNDER_WAY}"
_FORGET = f"""
    DELETE FROM keyed_requests WHERE ("by", key) IN (
        SELECT "by", key FROM keyed_requests WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT {FORGOTTEN_AT_ONCE})
"""


def begin(connection: apsw.Connection, request: KeyedRequest) -> KeyedRequest | None:
    """Keep a request as under way, unless its key is taken by one that has not expired."""
    row = connection.execute(_FIND, (request.by, request.key)).fetchone()
    if row is not None and (kept := _to_request(row)).expires_at_ms > request.began_at_ms:
        return kept
    connection.execute(_FORGET, (request.began_at_ms,))
    connection.execute(_KEEP, (*_place(request), request.expires_at_ms))
    return None


def answer(connection: apsw.Connection, request: KeyedRequest, given: KeptAnswer) -> None:
    """Keep what a request was answered."""
    connection.execute(_ANSWER, (given.status, given.body, *_place(request)))


def drop(connection: apsw.Connection, request: KeyedRequest) -> None:
    """Take the row of one that is under way away."""
    connection.execute(_DROP, _place(request))


def _place(request: KeyedRequest) -> tuple[Any, ...]:
    return request.by, request.key, request.fingerprint, request.began_at_ms


def _request(row: unreadable.Row) -> KeyedRequest:
    by, key, fingerprint, began_at_ms, expires_at_ms, status, body = row
    answered = None if status is None else KeptAnswer(status, body)
    return KeyedRequest(by, key, fingerprint, began_at_ms, expires_at_ms, answered)


_to_request = unreadable.reader(
    "request with the Idempotency-Key",
    "by key fingerprint began_at_ms expires_at_ms status answered".split(),
    _request,
    known_by=1,
)
