"""What to warn of: a server that may forget, and whoever keeps it from clearing away what has ended.

VACUUM takes away a dead row only where no snapshot is left that could see it. What holds one: a transaction that reads
over one snapshot, or that has written (its own number holds as one), a prepared transaction, a replication slot, a
standby with hot_standby_feedback. https://www.postgresql.org/docs/current/routine-vacuuming.html

Who runs VACUUM itself holds nothing. A role that is not in pg_read_all_stats is not shown since when another role's
transaction is open; then, as for slots, it is counted from when this process first saw it hold the same place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from longstop.model.store_health import OLD_SNAPSHOT_MS, StoreHealth, StoreWarning, StoreWarningKind
from longstop.stores.postgres import durability

_HOLDERS = """
    SELECT 'session' AS kind, pid::varchar AS name, application_name, coalesce(state, backend_type) AS state,
        CASE WHEN xact_start IS NOT NULL THEN
            greatest(0, extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint END AS age_ms,
        coalesce(backend_xid, backend_xmin)::varchar AS place, greatest(age(backend_xmin), age(backend_xid)) AS held
    FROM pg_stat_activity
    WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
        AND (datname = current_database() OR datname IS NULL)
        AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
    UNION ALL
    SELECT 'prepared transaction', gid, NULL, 'prepared',
        greatest(0, extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint,
        transaction::varchar, age(transaction)
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'replication slot', slot_name, NULL, CASE WHEN active THEN 'active' ELSE 'inactive' END, NULL,
        xmin::varchar, age(xmin)
    FROM pg_replication_slots WHERE xmin IS NOT NULL
"""
"""`place`: up to which transaction everything is kept for it; `held`: how many there have been since."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a snapshot."""

    kind: str
    name: str
    """A process's id, a transaction's name or a slot's."""
    application_name: str | None
    state: str | None
    age_ms: int

    def warning(self, now_ms: int) -> StoreWarning:
        """What to tell of it."""
        details: dict[str, str | int] = {"kind": self.kind, "pid" if self.kind == "session" else "name": self.name}
        if self.application_name:
            details["application_name"] = self.application_name
        if self.state:
            details["state"] = self.state
        who = ", ".join(f"{name} {value}" for name, value in details.items() if name != "kind")
        text = (
            f"PostgreSQL cannot clear away what has ended: a {self.kind} ({who}) holds a snapshot for "
            f"{self.age_ms // 60_000} min. Tables grow until it ends."
        )
        return StoreWarning(StoreWarningKind.OLD_SNAPSHOT, text, details, now_ms - self.age_ms)


class Watch:
    """Looks, and remembers since when it sees what the server does not tell the age of."""

    def __init__(self, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._seen: dict[tuple[str, str, str], int] = {}

    async def look(self, connection: asyncpg.Connection, now_ms: int) -> StoreHealth:
        """How the server stands; the inside of one transaction, whose own snapshot does not count."""
        oldest = self._oldest(await connection.fetch(_HOLDERS), now_ms)
        warnings = []
        if oldest is not None and oldest.age_ms >= OLD_SNAPSHOT_MS:
            warnings.append(oldest.warning(now_ms))
        if self._relaxed and (off := await durability.off(connection)):
            warnings.append(_forgetful(off))
        return StoreHealth(tuple(warnings), 0 if oldest is None else oldest.age_ms)

    def _oldest(self, rows: Sequence[asyncpg.Record], now_ms: int) -> Holder | None:
        """Who holds the oldest place; of several that hold the same, who has done so for longest."""
        self._seen = {_place(row): self._seen.get(_place(row), now_ms) for row in rows}
        row = max(rows, key=lambda row: (row["held"], self._age_ms(row, now_ms)), default=None)
        if row is None:
            return None
        return Holder(row["kind"], row["name"], row["application_name"], row["state"], self._age_ms(row, now_ms))

    def _age_ms(self, row: asyncpg.Record, now_ms: int) -> int:
        told: int | None = row["age_ms"]
        return max(0, now_ms - self._seen[_place(row)]) if told is None else told


def _place(row: asyncpg.Record) -> tuple[str, str, str]:
    return row["kind"], row["name"], row["place"]


def _forgetful(off: list[str]) -> StoreWarning:
    text = (
        f"PostgreSQL has {' and '.join(off)} off, and the configuration accepts that (durability=relaxed): what was "
        "answered 2xx may be lost in a power cut."
    )
    details: Mapping[str, str | int] = dict.fromkeys(off, "off")
    return StoreWarning(StoreWarningKind.DURABILITY_RELAXED, text, details)
