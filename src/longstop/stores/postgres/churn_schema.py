"""What keeps the way of an event the same length whatever has gone it. One step of the migrations.

A counter that every transaction updates is a row of thousands of versions until VACUUM has been, and for as long as
somebody's snapshot is open they are all gone through at each update. So transactions only add a row that says by how
much, and those are folded into the counters in the background (folding.py). A version of the program before this reads
the counters alone, and so is a second behind.
"""

from longstop.stores.postgres.inbox_schema import TEXT

MIGRATION = f"""
    CREATE TABLE counter_changes (
        subject {TEXT} NOT NULL,
        name {TEXT} NOT NULL,
        state {TEXT} NOT NULL,
        n bigint NOT NULL
    ) WITH (
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1
    );
    CREATE VIEW counted AS
        SELECT subject, name, state, n FROM counters UNION ALL SELECT subject, name, state, n FROM counter_changes;

    -- `tries >= 0`, which is always so, is said only by who asks by tries: to find what is due first, a planner that
    -- has not seen the table since it was small would take this one, and sort all of it.
    DROP INDEX queue_tries;
    CREATE INDEX queue_tries ON queue (destination, tries, due_at_ms, id)
        WHERE lease_until_ms IS NULL AND NOT held AND tried AND tries >= 0;
"""
