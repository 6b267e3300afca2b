"""Events, deliveries and attempts in spans of time: one step of the migrations, the same for an empty and a full store.

A span is one partition of each of the three tables, by the ids, which begin with a time. What is there becomes the
first span, without beginning or end: so nothing is read and nothing is written but the catalogue, and a table of any
size is ready in a moment. Where it ends is said later, while everybody works (spans.py). The names of tables and
columns stay, so the version before this one works on beside it.
"""

MIGRATION = """
    CREATE TABLE spans (
        -- Of the partitions, behind the table's own name: `events_first`.
        name text COLLATE "C" PRIMARY KEY,
        -- '': from the beginning on.
        from_id text COLLATE "C" NOT NULL UNIQUE,
        -- NULL: without an end.
        until_id text COLLATE "C",
        -- What has ended in it is forgotten row by row.
        by_rows boolean NOT NULL,
        -- Where a span that has no end yet is to end, while its rows are checked for it.
        planned_id text COLLATE "C"
    );
    INSERT INTO spans (name, from_id, until_id, by_rows) VALUES ('first', '', NULL, true);

    DO $$
    DECLARE
        parent text;
        key text;
        index record;
        definitions text[];
        definition text;
    BEGIN
        FOR parent, key IN VALUES ('events', 'id'), ('deliveries', 'id'), ('attempts', 'delivery_id') LOOP
            definitions := '{}';
            FOR index IN
                SELECT c.relname AS name, i.indisprimary AS is_key, pg_get_indexdef(c.oid) AS definition
                FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = parent::regclass
            LOOP
                IF NOT index.is_key THEN
                    definitions := definitions || index.definition;
                END IF;
                EXECUTE format('ALTER INDEX %I RENAME TO %I', index.name, index.name || '_first');
            END LOOP;
            EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, parent || '_first');
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS) PARTITION BY RANGE (%I)',
                parent, parent || '_first', key);
            FOREACH definition IN ARRAY definitions LOOP
                EXECUTE definition;
            END LOOP;
            -- The last one: of indexes that cost the same, as those of an empty partition do, the planner takes it.
            EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)',
                parent, CASE parent WHEN 'attempts' THEN 'delivery_id, number' ELSE 'id' END);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (MAXVALUE)',
                parent, parent || '_first');
        END LOOP;
    END $$;
"""
