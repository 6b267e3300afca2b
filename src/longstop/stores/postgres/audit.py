"""The audit log: rows that are added and forgotten. Each function is inside one transaction.

No statement here changes a row, and the database refuses one that would (`audit_is_fixed`), whoever sends it.
"""

from collections.abc import Sequence

import asyncpg

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.ids import format_uuid7
from longstop.model.listing import Listing, Page
from longstop.stores.postgres.rows import reader
from longstop.stores.postgres.statements import Condition, arrays, changed, insert, page_of
from longstop.stores.sql.operators_rows import audit_of, audit_row

_TYPES = {
    "id": "varchar",
    "at_ms": "bigint",
    **dict.fromkeys(("by", "by_kind", "action", "target_kind", "target_id"), "varchar"),
    "count": "bigint",
    "why": "varchar",
    "address": "varchar",
    "details": "bytea",
}
_INSERT = insert("audit", _TYPES)
_FORGET = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < $1 ORDER BY id LIMIT $2)"


async def note(connection: asyncpg.Connection, entries: Sequence[AuditEntry]) -> None:
    """Add rows."""
    await connection.execute(_INSERT, *arrays(list(map(audit_row, entries)), len(_TYPES)))


async def audit(connection: asyncpg.Connection, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
    """One page of rows."""
    given = [
        ('"by" = {}', wanted.by),
        ("action = {}", None if wanted.action is None else wanted.action.value),
        ("id >= {}", None if wanted.since_ms is None else format_uuid7(wanted.since_ms, 0)),
        ("id < {}", None if wanted.until_ms is None else format_uuid7(wanted.until_ms, 0)),
    ]
    conditions = [Condition(sql, (value,)) for sql, value in given if value is not None]
    return await page_of(connection, "audit", list(_TYPES), conditions, page, _to_entry)


async def forget(connection: asyncpg.Connection, before_ms: int, limit: int) -> int:
    """Drop the oldest rows."""
    return changed(await connection.execute(_FORGET, format_uuid7(before_ms, 0), limit))


_to_entry = reader("audit entry", audit_of)
