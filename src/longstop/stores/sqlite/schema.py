"""The tables, and how a file gets from one version of them to the next.

`PRAGMA user_version` holds the version, `PRAGMA application_id` says that the file is ours. A migration
is one entry of MIGRATIONS and runs in one transaction with the version's increment; entries are never edited
after a release, only added.
"""

from collections.abc import Sequence

import apsw

from longstop.model.errors import SchemaError
from longstop.stores.sqlite import (
    accounts,
    alert_book,
    audit,
    dead_groups,
    event_deliveries,
    jobs_schema,
    key_places,
    keyed_requests,
    ledger_schema,
    nodes,
    statistics,
)

APPLICATION_ID = 0x4C53544F
"""`LSTO`"""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE events (
        id TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL,
        type TEXT,
        key TEXT,
        dedup BLOB,
        origin TEXT NOT NULL,
        parent TEXT,
        routed INTEGER NOT NULL,
        redeliveries INTEGER NOT NULL DEFAULT 0,
        headers BLOB NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX events_unrouted ON events (id) WHERE routed = 0;

    -- Keys come in random order, so each insert dirties another page. Short rows and no second index keep that cheap.
    CREATE TABLE dedup (
        digest BLOB PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        event_id TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE deliveries (
        id TEXT PRIMARY KEY,
        event_id TEXT NOT NULL,
        source TEXT NOT NULL,
        type TEXT,
        key TEXT,
        received_at_ms INTEGER NOT NULL,
        destination TEXT NOT NULL,
        state TEXT NOT NULL,
        due_at_ms INTEGER NOT NULL,
        lane TEXT,
        round INTEGER NOT NULL,
        round_at_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        token INTEGER NOT NULL,
        leased_at_ms INTEGER,
        lease_until_ms INTEGER,
        worker TEXT,
        reason TEXT,
        last_status INTEGER,
        last_error TEXT,
        ended_at_ms INTEGER,
        -- 1: another one of its lane goes first.
        held INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX deliveries_event ON deliveries (event_id);
    CREATE INDEX deliveries_due ON deliveries (destination, due_at_ms, id) WHERE state = 'scheduled' AND held = 0;
    CREATE INDEX deliveries_lane ON deliveries (destination, lane, state, id) WHERE lane IS NOT NULL;
    CREATE INDEX deliveries_free ON deliveries (destination, lane)
        WHERE lane IS NOT NULL AND state = 'scheduled' AND held = 0;
    CREATE INDEX deliveries_lease ON deliveries (lease_until_ms) WHERE state = 'leased';
    CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';

    CREATE TABLE attempts (
        delivery_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        round INTEGER NOT NULL,
        started_at_ms INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        status INTEGER,
        error TEXT,
        answer BLOB NOT NULL,
        PRIMARY KEY (delivery_id, number)
    ) WITHOUT ROWID;

    CREATE TABLE actions (
        seq INTEGER PRIMARY KEY,
        delivery_id TEXT NOT NULL,
        "trigger" TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        "by" TEXT NOT NULL,
        why TEXT
    );
    CREATE INDEX actions_delivery ON actions (delivery_id);
    """,
    "ALTER TABLE events ADD COLUMN occurred_at_ms INTEGER",
    "ALTER TABLE deliveries ADD COLUMN expires_at_ms INTEGER",
    """
    CREATE TABLE pauses (
        destination TEXT PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        "by" TEXT NOT NULL,
        why TEXT
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE circuits (
        destination TEXT PRIMARY KEY,
        opened_at_ms INTEGER NOT NULL,
        probe_at_ms INTEGER NOT NULL,
        answer_ms INTEGER NOT NULL,
        why TEXT NOT NULL,
        version INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        passed INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- What has expired is leased although the circuit is open.
    CREATE INDEX deliveries_expiry ON deliveries (destination, expires_at_ms)
        WHERE state = 'scheduled' AND held = 0 AND expires_at_ms IS NOT NULL;
    """,
    "ALTER TABLE deliveries ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE rejection_counts (
        source TEXT NOT NULL,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL,
        first_at_ms INTEGER NOT NULL,
        last_at_ms INTEGER NOT NULL,
        PRIMARY KEY (source, reason)
    ) WITHOUT ROWID;
    CREATE TABLE rejections (
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        reason TEXT NOT NULL,
        status INTEGER NOT NULL,
        problems BLOB NOT NULL,
        body_bytes INTEGER NOT NULL,
        body_kept INTEGER NOT NULL,
        asked TEXT,
        nearest TEXT,
        method TEXT NOT NULL,
        client TEXT,
        path TEXT NOT NULL,
        query TEXT NOT NULL,
        headers BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (source, id)
    );
    CREATE TABLE held_requests (
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL,
        sender TEXT NOT NULL,
        size INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        method TEXT NOT NULL,
        client TEXT,
        path TEXT NOT NULL,
        query TEXT NOT NULL,
        headers BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (source, id)
    );
    CREATE INDEX held_requests_shares ON held_requests (source, sender, size, received_at_ms);
    """,
    """
    -- A lane was a key alone, and what one source sent held up another. What waits keeps its order with what comes, and
    -- where a lane falls apart each part has a first. What is done with gets its lane anew when it is replayed.
    UPDATE deliveries SET lane = source || ':' || lane
        WHERE lane IS NOT NULL AND state IN ('scheduled', 'leased', 'dead');
    UPDATE deliveries SET held = 0
        WHERE lane IS NOT NULL AND state = 'scheduled' AND held = 1 AND NOT EXISTS (
            SELECT 1 FROM deliveries AS other
            WHERE other.destination = deliveries.destination AND other.lane = deliveries.lane
                AND (other.state = 'leased' OR other.state IN ('scheduled', 'dead') AND other.id < deliveries.id)
        );
    ALTER TABLE attempts ADD COLUMN frames TEXT;
    """,
    """
    ALTER TABLE circuits ADD COLUMN probe_key TEXT;
    -- What was never tried and what was take turns, and a probe is one with few tries.
    DROP INDEX deliveries_due;
    CREATE INDEX deliveries_untried ON deliveries (destination, due_at_ms, id)
        WHERE state = 'scheduled' AND held = 0 AND attempts = 0;
    CREATE INDEX deliveries_tried ON deliveries (destination, due_at_ms, id)
        WHERE state = 'scheduled' AND held = 0 AND attempts > 0;
    CREATE INDEX deliveries_tries ON deliveries (destination, tries, due_at_ms, id)
        WHERE state = 'scheduled' AND held = 0 AND attempts > 0;
    """,
    ledger_schema.MIGRATION,
    """
    ALTER TABLE deliveries ADD COLUMN wait TEXT;
    ALTER TABLE deliveries ADD COLUMN replaced_by TEXT;
    CREATE TABLE edits (
        event_id TEXT PRIMARY KEY,
        parent TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        "by" TEXT NOT NULL,
        why TEXT
    ) WITHOUT ROWID;
    CREATE INDEX edits_parent ON edits (parent, event_id);
    CREATE TABLE nodes (
        name TEXT PRIMARY KEY,
        roles TEXT NOT NULL,
        version TEXT NOT NULL,
        started_at_ms INTEGER NOT NULL,
        seen_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX attempts_ended ON attempts (started_at_ms + duration_ms);
    CREATE INDEX actions_at ON actions (at_ms);
    """,
    keyed_requests.MIGRATION,
    statistics.MIGRATION,
    jobs_schema.MIGRATION,
    audit.MIGRATION,
    accounts.MIGRATION,
    alert_book.MIGRATION,
    statistics.MIGRATION_BINS,
    dead_groups.MIGRATION,
    # What an append need not write.
    event_deliveries.MIGRATION + key_places.MIGRATION,
    nodes.MIGRATION,
)


def prepare(connection: apsw.Connection, path: str, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the file to the newest version. Raises SchemaError where it is newer."""
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the write lock: another process may have migrated while this one waited for it.
        version = _version(connection)
        if version > len(migrations):
            raise SchemaError(
                f"{path}: the database has schema version {version}; this program knows versions up to "
                f"{len(migrations)}. Run the newer Longstop that wrote it, or restore a copy from before the upgrade."
            )
        ledger_schema.define_functions(connection)
        for script in migrations[version:]:
            connection.execute(script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: apsw.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").get)


def refuse_foreign(connection: apsw.Connection, path: str, ours: int = APPLICATION_ID) -> None:
    """Raise SchemaError where the file is not an SQLite database, or another program's. Writes nothing."""
    try:
        # In this order: another process may create ours in between, and the id comes with the tables.
        tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").get)
        application_id = int(connection.execute("PRAGMA application_id").get)
    except apsw.NotADBError:
        raise SchemaError(f"{path}: not an SQLite database. Name another file in store.url.") from None
    if tables and application_id != ours:
        raise SchemaError(f"{path}: an SQLite database of another program. Name another file in store.url.")
