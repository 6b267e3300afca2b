r"""What people's questions are fast by: an index for every filter. One step of the migrations.

Few indexes are written when an event arrives: each costs every event. What is dead is rare and looked at a lot, so it
has many, and none of them is written before something dies. What waits is found in `queue`, which is small.
"""

ERROR_GROUP = r"""
    -- `model.error_group.group_of`, for what is not dead and so in no group yet.
    CREATE FUNCTION error_group(error text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT left(regexp_replace(regexp_replace(regexp_replace(regexp_replace(left(coalesce(error, ''), 400),
            '[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}', '#', 'g'),
            '(?<![0-9A-Za-z])(?:(?=[A-Za-z]*[0-9])[0-9A-Za-z]{8,}|0x[0-9A-Fa-f]+)(?![0-9A-Za-z])', '#', 'g'),
            '[0-9]+', '#', 'g'),
            '#(?:[-.:,/+_TZ]*#)+Z?', '#', 'g'), 200)
    $$;
"""

INDEXES = """
    CREATE INDEX events_source ON events (source, id);
    CREATE INDEX events_type ON events (type, id) WHERE type IS NOT NULL;
    CREATE INDEX events_key ON events (key, id) WHERE key IS NOT NULL;
    CREATE INDEX events_unrouted ON events (id) WHERE NOT routed;
    CREATE INDEX dedup_until ON dedup (until_ms);

    CREATE INDEX queue_held ON queue (destination, id) WHERE held;

    CREATE INDEX deliveries_delivered ON deliveries (destination, id) WHERE state = 'delivered';
    CREATE INDEX deliveries_discarded ON deliveries (destination, id) WHERE state = 'discarded';
    CREATE INDEX deliveries_ended ON deliveries (state, ended_at_ms, id) WHERE ended_at_ms IS NOT NULL;
    CREATE INDEX deliveries_dead ON deliveries (id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_group ON deliveries (dead_group, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_at ON deliveries (dead_group, ended_at_ms, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_source ON deliveries (source, id) WHERE dead_group IS NOT NULL;
    CREATE INDEX deliveries_dead_type ON deliveries (type, id) WHERE dead_group IS NOT NULL;
"""

MIGRATION = ERROR_GROUP + INDEXES
