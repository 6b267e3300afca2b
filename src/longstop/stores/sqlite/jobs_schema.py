"""The table of jobs. One step of the migrations."""

MIGRATION = """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        -- When it was done or cancelled.
        over_at_ms INTEGER,
        record TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX jobs_state ON jobs (state, id);
    CREATE INDEX jobs_over ON jobs (over_at_ms) WHERE over_at_ms IS NOT NULL;
"""
