"""What the ledger is fast by: counters, groups of the dead, and an index for every filter. One step of the migrations.

Few indexes are written when an event arrives: each costs every event. What is dead is rare and looked at a lot, so it
has many, and none of them is written before something dies.
"""

from typing import Any

import apsw

from longstop.model.error_group import group_of


def define_functions(connection: apsw.Connection) -> None:
    """The functions that the migration and some searches call."""
    connection.create_scalar_function("error_group", _error_group, 1, deterministic=True)


def _error_group(*values: Any) -> str:
    return group_of(values[0])


def _time(id_: str) -> str:
    """SQL for the time in an id: its first twelve digits, in base 16."""
    digits = f"substr({id_}, 1, 8) || substr({id_}, 10, 4)"
    terms = (
        f"((instr('123456789abcdef', substr({digits}, {place + 1}, 1))) << {4 * (11 - place)})" for place in range(12)
    )
    return f"({' + '.join(terms)})"


MARK = """
    UPDATE marks SET ahead_ms = max(ahead_ms, {ahead}), behind_ms = max(behind_ms, {behind})
        WHERE ahead_ms < {ahead} OR behind_ms < {behind};
"""
"""Note how far ids are ahead of and behind the times of arrival; written only where that is further than ever."""

MIGRATION = f"""
    CREATE TABLE counters (
        -- 'events' by source, 'unrouted', 'deliveries' by destination and state
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        n INTEGER NOT NULL,
        -- How often it was found wrong and put right: two who find the same thing put it right once.
        repairs INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (subject, name, state)
    ) WITHOUT ROWID;
    INSERT INTO counters (subject, name, state, n) SELECT 'events', source, '', count(*) FROM events GROUP BY source;
    INSERT INTO counters (subject, name, state, n) SELECT 'unrouted', '', '', count(*) FROM events WHERE routed = 0;
    INSERT INTO counters (subject, name, state, n)
        SELECT 'deliveries', destination, state, count(*) FROM deliveries GROUP BY destination, state;

    CREATE TABLE dead_groups (
        id INTEGER PRIMARY KEY,
        destination TEXT NOT NULL,
        reason TEXT NOT NULL,
        -- -1: none
        status INTEGER NOT NULL,
        error TEXT NOT NULL,
        n INTEGER NOT NULL DEFAULT 0,
        keys INTEGER NOT NULL DEFAULT 0,
        repairs INTEGER NOT NULL DEFAULT 0,
        UNIQUE (destination, reason, status, error)
    );
    -- Of what is dead, and NULL for all else.
    ALTER TABLE deliveries ADD COLUMN dead_group INTEGER;
    INSERT INTO dead_groups (destination, reason, status, error, n, keys)
        SELECT destination, ifnull(reason, 'exhausted'), ifnull(last_status, -1), error_group(last_error), count(*),
            count(DISTINCT key)
        FROM deliveries WHERE state = 'dead' GROUP BY 1, 2, 3, 4;
    UPDATE deliveries SET dead_group = (
            SELECT g.id FROM dead_groups g
            WHERE g.destination = deliveries.destination AND g.reason = ifnull(deliveries.reason, 'exhausted')
                AND g.status = ifnull(last_status, -1) AND g.error = error_group(last_error))
        WHERE state = 'dead';
    CREATE INDEX deliveries_dead_group ON deliveries (dead_group, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_at ON deliveries (dead_group, ended_at_ms) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_key ON deliveries (dead_group, key, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_source ON deliveries (source, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_type ON deliveries (type, id) WHERE dead_group IS NOT NULL;

    CREATE INDEX deliveries_waiting ON deliveries (destination, id) WHERE ended_at_ms IS NULL;
    CREATE INDEX deliveries_held ON deliveries (destination, id) WHERE held = 1;
    CREATE INDEX deliveries_delivered ON deliveries (destination, id) WHERE state = 'delivered';
    CREATE INDEX deliveries_discarded ON deliveries (destination, id) WHERE state = 'discarded';
    CREATE INDEX deliveries_ended ON deliveries (state, ended_at_ms) WHERE ended_at_ms IS NOT NULL;

    CREATE INDEX events_source ON events (source, id);
    CREATE INDEX events_type ON events (type, id) WHERE type IS NOT NULL;
    -- See key_places.
    CREATE TABLE key_segments (seq INTEGER PRIMARY KEY, start_ms INTEGER NOT NULL UNIQUE, n INTEGER NOT NULL);
    INSERT INTO key_segments VALUES (0, -1, 0);
    ALTER TABLE events ADD COLUMN key_place INTEGER;
    CREATE INDEX events_key ON events (key_place) WHERE key_place IS NOT NULL;
    CREATE INDEX events_key_before ON events (key, id) WHERE key_place IS NULL AND key IS NOT NULL;

    -- One row. Ids begin with a time that is about received_at_ms: how far it is ahead of and behind that at most; and
    -- how far a delivery's end lies before its arrival at most, by a clock that was put back.
    CREATE TABLE marks (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        newest_ms INTEGER NOT NULL,
        ahead_ms INTEGER NOT NULL,
        behind_ms INTEGER NOT NULL,
        early_ms INTEGER NOT NULL,
        -- See retention.lived.
        lived_ms INTEGER
    );
    INSERT INTO marks (one, newest_ms, ahead_ms, behind_ms, early_ms)
        SELECT 1, ifnull(max(at), 0), ifnull(max(at - received), 0), ifnull(max(received - at), 0),
            (SELECT max(0, ifnull(max(received_at_ms - ended_at_ms), 0)) FROM deliveries WHERE ended_at_ms IS NOT NULL)
        FROM (SELECT {_time("id")} AS at, received_at_ms AS received FROM events
              UNION ALL SELECT {_time("id")}, received_at_ms FROM deliveries);
"""
