"""The audit log: rows that are added and forgotten. Each function is inside one transaction.

No statement here changes a row, and the file refuses one that would (`audit_is_fixed`), whoever sends it.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.ids import format_uuid7
from longstop.model.listing import Listing, Page
from longstop.stores.sql.operators_rows import AUDIT_COLUMNS, audit_of, audit_row
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.walk import Condition, tightest

MIGRATION = """
    CREATE TABLE audit (
        id TEXT PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        "by" TEXT NOT NULL,
        by_kind TEXT NOT NULL,
        action TEXT NOT NULL,
        target_kind TEXT NOT NULL,
        target_id TEXT NOT NULL,
        count INTEGER NOT NULL,
        why TEXT,
        address TEXT,
        details BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX audit_by ON audit ("by", id);
    CREATE INDEX audit_action ON audit (action, id);
    CREATE INDEX audit_by_action ON audit ("by", action, id);
    CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit BEGIN
        SELECT RAISE(ABORT, 'an entry of the audit log cannot be changed');
    END;
"""

_COLUMNS = ", ".join(f'"{name}"' for name in AUDIT_COLUMNS)
_INSERT = f"INSERT OR IGNORE INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ? ORDER BY id LIMIT ?)"


def note(connection: apsw.Connection, entries: Sequence[AuditEntry]) -> None:
    """Add rows."""
    for each in entries:
        connection.execute(_INSERT, audit_row(each))


def audit(connection: apsw.Connection, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
    """One page of rows."""
    order, behind = ("DESC", "<") if page.newest_first else ("ASC", ">")
    conditions: list[tuple[str, Any]] = [
        ('"by" = ?', wanted.by),
        ("action = ?", None if wanted.action is None else wanted.action.value),
        ("id >= ?", None if wanted.since_ms is None else format_uuid7(wanted.since_ms, 0)),
        ("id < ?", None if wanted.until_ms is None else format_uuid7(wanted.until_ms, 0)),
        (f"id {behind} ?", page.after),
    ]
    given = tightest([Condition(sql, (value,)) for sql, value in conditions if value is not None])
    where = " AND ".join(each.sql for each in given) or "1"
    query = f"SELECT {_COLUMNS} FROM audit WHERE {where} ORDER BY id {order} LIMIT ?"
    values = [value for each in given for value in each.values]
    rows = list(unreadable.fetched(connection.execute(query, (*values, page.limit + 1))))
    shown = rows[: page.limit]
    return Listing(tuple(unreadable.each(shown, _to_entry)), shown[-1][0] if len(rows) > len(shown) else None)


def forget(connection: apsw.Connection, before_ms: int, limit: int) -> int:
    """Drop the oldest rows."""
    connection.execute(_FORGET, (format_uuid7(before_ms, 0), limit))
    return connection.changes()


_to_entry = unreadable.reader("audit entry", AUDIT_COLUMNS, audit_of)
