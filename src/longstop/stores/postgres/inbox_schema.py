"""The tables on the way of every event.

What keeps a queue on PostgreSQL from growing slower is that little of it changes. A row of `deliveries` is wide, has
the indexes that people's questions need, and is written when the delivery arrives, when a try fails and when it ends.
What a lease writes stands in `queue`: a narrow row for each delivery that is not over, gone when it ends.

What is compared or sorted is COLLATE "C": it is quicker, sorts as Python does, and an index on it outlives an upgrade
of the system's C library, which has broken many another one.
"""

TEXT = 'text COLLATE "C"'

EVENTS = f"""
    CREATE TABLE events (
        id {TEXT} PRIMARY KEY,
        source {TEXT} NOT NULL,
        received_at_ms bigint NOT NULL,
        type {TEXT},
        key {TEXT},
        dedup bytea,
        origin text NOT NULL,
        parent {TEXT},
        occurred_at_ms bigint,
        headers bytea NOT NULL,
        body bytea NOT NULL,
        routed boolean NOT NULL,
        redeliveries integer NOT NULL DEFAULT 0
    );
    CREATE TABLE dedup (
        -- See model.dedup.dedup_digest.
        digest bytea PRIMARY KEY,
        at_ms bigint NOT NULL,
        until_ms bigint NOT NULL,
        event_id {TEXT} NOT NULL
    );
    CREATE TABLE edits (
        event_id {TEXT} PRIMARY KEY,
        parent {TEXT} NOT NULL,
        at_ms bigint NOT NULL,
        "by" text NOT NULL,
        why text
    );
    CREATE INDEX edits_parent ON edits (parent, event_id);
"""

DELIVERIES = f"""
    CREATE TABLE deliveries (
        id {TEXT} PRIMARY KEY,
        event_id {TEXT} NOT NULL,
        source {TEXT} NOT NULL,
        type {TEXT},
        key {TEXT},
        received_at_ms bigint NOT NULL,
        destination {TEXT} NOT NULL,
        -- Never 'leased': that is what a row of `queue` says.
        state {TEXT} NOT NULL,
        due_at_ms bigint NOT NULL,
        lane {TEXT},
        -- NULL, or a hash of the lane (lanes.lane_hash).
        lane_hash bigint,
        round integer NOT NULL,
        round_at_ms bigint NOT NULL,
        attempts integer NOT NULL,
        tries integer NOT NULL,
        lost integer NOT NULL,
        -- As it was when the delivery last left `queue`.
        token bigint NOT NULL,
        reason text,
        last_status integer,
        last_error text,
        ended_at_ms bigint,
        expires_at_ms bigint,
        skipped boolean NOT NULL,
        wait text,
        replaced_by {TEXT},
        -- Of what is dead: its group.
        dead_group bigint
    ) WITH (fillfactor = 85);
    CREATE INDEX deliveries_event ON deliveries (event_id);
    CREATE INDEX deliveries_dead_lane ON deliveries (destination, lane_hash, id)
        WHERE state = 'dead' AND lane_hash IS NOT NULL;

    CREATE TABLE queue (
        id {TEXT} PRIMARY KEY,
        destination {TEXT} NOT NULL,
        due_at_ms bigint NOT NULL,
        -- Whether there was an attempt before, in whatever round.
        tried boolean NOT NULL,
        tries integer NOT NULL,
        expires_at_ms bigint,
        lane_hash bigint,
        -- Another one of its lane goes first.
        held boolean NOT NULL,
        token bigint NOT NULL,
        leased_at_ms bigint,
        -- NULL: scheduled.
        lease_until_ms bigint,
        worker text
    ) WITH (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 20000
    );
    CREATE INDEX queue_due ON queue (destination, tried, due_at_ms, id) WHERE lease_until_ms IS NULL AND NOT held;
    CREATE INDEX queue_tries ON queue (destination, tries, due_at_ms, id)
        WHERE lease_until_ms IS NULL AND NOT held AND tried;
    CREATE INDEX queue_expiry ON queue (destination, expires_at_ms, id)
        WHERE lease_until_ms IS NULL AND NOT held AND expires_at_ms IS NOT NULL;
    CREATE INDEX queue_lease ON queue (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
    CREATE INDEX queue_lane ON queue (destination, lane_hash, id) WHERE lane_hash IS NOT NULL;
    -- What of a lane is leased or may be: one at most.
    CREATE INDEX queue_free ON queue (destination, lane_hash) WHERE lane_hash IS NOT NULL AND NOT held;
    CREATE INDEX queue_waiting ON queue (destination, id);

    CREATE TABLE attempts (
        delivery_id {TEXT} NOT NULL,
        number integer NOT NULL,
        round integer NOT NULL,
        started_at_ms bigint NOT NULL,
        duration_ms bigint NOT NULL,
        outcome text NOT NULL,
        status integer,
        error text,
        answer bytea NOT NULL,
        frames text,
        PRIMARY KEY (delivery_id, number)
    );
    CREATE INDEX attempts_ended ON attempts ((started_at_ms + duration_ms));
    CREATE TABLE actions (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        delivery_id {TEXT} NOT NULL,
        trigger text NOT NULL,
        at_ms bigint NOT NULL,
        "by" text NOT NULL,
        why text
    );
    CREATE INDEX actions_delivery ON actions (delivery_id, seq);
    CREATE INDEX actions_at ON actions (at_ms);
"""

DESTINATIONS = f"""
    CREATE TABLE pauses (destination {TEXT} PRIMARY KEY, at_ms bigint NOT NULL, "by" text NOT NULL, why text);
    CREATE TABLE circuits (
        destination {TEXT} PRIMARY KEY,
        opened_at_ms bigint NOT NULL,
        probe_at_ms bigint NOT NULL,
        answer_ms bigint NOT NULL,
        why text NOT NULL,
        version bigint NOT NULL,
        failed integer NOT NULL,
        passed integer NOT NULL,
        probe_key text
    );
"""

COUNTERS = f"""
    -- 'events' by source, 'unrouted', 'deliveries' by destination and state: a number is the sum over its slots and
    -- over what is noted in `counter_changes` (churn_schema.py).
    CREATE TABLE counters (
        subject {TEXT} NOT NULL,
        name {TEXT} NOT NULL,
        state {TEXT} NOT NULL,
        slot smallint NOT NULL,
        n bigint NOT NULL,
        PRIMARY KEY (subject, name, state, slot)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

    CREATE TABLE dead_groups (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        destination {TEXT} NOT NULL,
        reason {TEXT} NOT NULL,
        -- -1: none
        status integer NOT NULL,
        error {TEXT} NOT NULL,
        n bigint NOT NULL DEFAULT 0,
        keys bigint NOT NULL DEFAULT 0,
        UNIQUE (destination, reason, status, error)
    );
    -- How many of a group died in each quarter of an hour; no row for none.
    CREATE TABLE dead_times (
        dead_group bigint NOT NULL,
        at_ms bigint NOT NULL,
        n bigint NOT NULL,
        PRIMARY KEY (dead_group, at_ms)
    );
    CREATE INDEX deliveries_dead_key ON deliveries (dead_group, key, id) WHERE dead_group IS NOT NULL;

    -- One row. Ids begin with a time that is about received_at_ms: how far it is ahead of and behind that at most; and
    -- how far a delivery's end lies before its arrival at most, by a clock that was put back.
    CREATE TABLE marks (
        one integer PRIMARY KEY CHECK (one = 1),
        ahead_ms bigint NOT NULL,
        behind_ms bigint NOT NULL,
        early_ms bigint NOT NULL,
        -- Until when time has certainly passed (ports.Retention.lived_until).
        lived_ms bigint
    );
    INSERT INTO marks (one, ahead_ms, behind_ms, early_ms) VALUES (1, 0, 0, 0);
"""

SCHEMA = EVENTS + DELIVERIES + DESTINATIONS + COUNTERS
