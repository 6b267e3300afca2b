"""The tables of the operators' side: accounts, audit, alerts, nodes, jobs, statistics, refused and keyed requests.

Every column of text sorts by bytes (`COLLATE "C"`) where it is a key: pages follow each other by it, and Python sorts
so, whatever the database's own collation is.
"""

from longstop.model.statistics import BINS

BINS_COLUMNS = tuple(f"bin_{place:02}" for place in range(BINS))
"""One for each bin of a latency, in the order of `Bucket.bins`."""

ACCOUNTS = """
    CREATE TABLE users (
        key text COLLATE "C" PRIMARY KEY,
        name text NOT NULL,
        role text NOT NULL,
        password text,
        stamp text NOT NULL,
        created_at_ms bigint NOT NULL,
        created_by text NOT NULL,
        changed_at_ms bigint NOT NULL,
        subject text,
        disabled boolean NOT NULL
    );
    CREATE TABLE tokens (
        id text COLLATE "C" PRIMARY KEY,
        name text NOT NULL,
        digest bytea NOT NULL,
        scopes text NOT NULL,
        created_at_ms bigint NOT NULL,
        created_by text NOT NULL,
        expires_at_ms bigint
    );
    CREATE TABLE sessions (
        id text COLLATE "C" PRIMARY KEY,
        digest bytea NOT NULL,
        "user" text COLLATE "C" NOT NULL,
        stamp text NOT NULL,
        created_at_ms bigint NOT NULL,
        seen_at_ms bigint NOT NULL,
        expires_at_ms bigint NOT NULL,
        address text
    );
    CREATE INDEX sessions_user ON sessions ("user", id);
    CREATE INDEX sessions_seen ON sessions (seen_at_ms);
    CREATE INDEX sessions_expires ON sessions (expires_at_ms);
"""

AUDIT = """
    CREATE TABLE audit (
        id text COLLATE "C" PRIMARY KEY,
        at_ms bigint NOT NULL,
        "by" text COLLATE "C" NOT NULL,
        by_kind text NOT NULL,
        action text COLLATE "C" NOT NULL,
        target_kind text NOT NULL,
        target_id text NOT NULL,
        count bigint NOT NULL,
        why text,
        address text,
        details bytea NOT NULL
    );
    CREATE INDEX audit_by ON audit ("by", id);
    CREATE INDEX audit_action ON audit (action, id);
    CREATE INDEX audit_by_action ON audit ("by", action, id);
    CREATE FUNCTION audit_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'an entry of the audit log cannot be changed';
    END $$;
    CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_fixed();
"""

ALERTS = """
    CREATE TABLE alert_book (
        one boolean PRIMARY KEY CHECK (one),
        version bigint NOT NULL,
        book text NOT NULL
    );
"""

NODES = """
    CREATE TABLE nodes (
        name text COLLATE "C" PRIMARY KEY,
        roles text NOT NULL,
        version text NOT NULL,
        started_at_ms bigint NOT NULL,
        seen_at_ms bigint NOT NULL
    ) WITH (fillfactor = 50);
"""

JOBS = """
    CREATE TABLE jobs (
        id text COLLATE "C" PRIMARY KEY,
        state text NOT NULL,
        -- When it was done or cancelled.
        over_at_ms bigint,
        -- JSON, in ASCII.
        record text NOT NULL
    ) WITH (fillfactor = 50);
    CREATE INDEX jobs_state ON jobs (state, id);
    CREATE INDEX jobs_over ON jobs (over_at_ms) WHERE over_at_ms IS NOT NULL;
"""

KEYED_REQUESTS = """
    CREATE TABLE keyed_requests (
        "by" text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        began_at_ms bigint NOT NULL,
        expires_at_ms bigint NOT NULL,
        -- NULL: under way
        status integer,
        body bytea,
        PRIMARY KEY ("by", key)
    );
    CREATE INDEX keyed_requests_expires ON keyed_requests (expires_at_ms);
"""

REJECTIONS = """
    CREATE TABLE rejection_counts (
        source text COLLATE "C" NOT NULL,
        reason text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        first_at_ms bigint NOT NULL,
        last_at_ms bigint NOT NULL,
        PRIMARY KEY (source, reason)
    ) WITH (fillfactor = 50);
    CREATE TABLE rejections (
        source text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        at_ms bigint NOT NULL,
        reason text NOT NULL,
        status integer NOT NULL,
        problems bytea NOT NULL,
        body_bytes bigint NOT NULL,
        body_kept boolean NOT NULL,
        asked text,
        nearest text,
        method text NOT NULL,
        client text,
        path text NOT NULL,
        query text NOT NULL,
        headers bytea NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (source, id)
    );
    CREATE TABLE held_requests (
        source text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        received_at_ms bigint NOT NULL,
        sender text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        size bigint NOT NULL,
        method text NOT NULL,
        client text,
        path text NOT NULL,
        query text NOT NULL,
        headers bytea NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (source, id)
    );
    CREATE INDEX held_requests_shares ON held_requests (source, sender) INCLUDE (size, received_at_ms);
"""

STATISTICS = f"""
    CREATE TABLE statistics (
        -- A minute or an hour.
        step_ms bigint NOT NULL,
        series text COLLATE "C" NOT NULL,
        at_ms bigint NOT NULL,
        source text COLLATE "C" NOT NULL,
        destination text COLLATE "C" NOT NULL,
        n bigint NOT NULL,
        {" ".join(f"{name} bigint NOT NULL," for name in BINS_COLUMNS)}
        PRIMARY KEY (step_ms, series, at_ms, source, destination)
    -- A bucket is written again every few seconds for as long as it lasts.
    ) WITH (fillfactor = 70);
    CREATE INDEX statistics_at ON statistics (step_ms, at_ms);
    -- What one of many sources did in a long time: of each it is asked whether it is silent.
    CREATE INDEX statistics_source ON statistics (step_ms, series, source, at_ms);
"""

MIGRATION = "".join((ACCOUNTS, AUDIT, ALERTS, NODES, JOBS, KEYED_REQUESTS, REJECTIONS, STATISTICS))
"""All of it, as one step of the migrations."""
