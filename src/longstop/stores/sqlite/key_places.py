"""Finding events by key without an index on keys: those arrive in random order, and each would dirty a page of its own.

Events are kept in segments of a few thousand, by id. An event's place is its segment's number and a hash of its key, in
one integer; the index on places is small, and what arrives together stands together, within one segment. A search asks
every segment, newest or oldest first: each costs a few microseconds, and 10,000,000 events have 2,500 of them.

What was kept before there were segments has no place; it has an index of its own, to which nothing is added.
"""

import zlib

SEGMENT_EVENTS = 4096
"""So many events, and the next batch begins a new segment: a hundred pages a batch at most, and mostly a tenth."""

PLACE = """
    (CASE WHEN {0} > (SELECT max(start) FROM key_segments) THEN (SELECT max(seq) FROM key_segments)
        ELSE (SELECT seq FROM key_segments WHERE start < {0} ORDER BY start DESC LIMIT 1) END << 32) | {1}
"""
"""The place of the event {0} whose key has the hash {1}; NULL for no hash.

Most belong to the newest segment, which SQLite looks up once for all of a statement.
"""

_REST_OF_ID = "fff-bfff-ffffffffffff"
"""What follows the time and the version in the last id that a millisecond can have."""
_NEWEST_ID, _NEWEST_BLOCK = "(SELECT max(id) FROM events)", f"(SELECT max(rowid) FROM events) / {SEGMENT_EVENTS}"
END_OF_BATCH = f"""
    -- Told by the rows' numbers: a count would be one more page to write in each batch. The new one begins behind all
    -- that there is, so that the segments are in the order of the ids in them.
    INSERT INTO key_segments (seq, start, block)
        SELECT seq + 1, substr({_NEWEST_ID}, 1, 15) || '{_REST_OF_ID}', {_NEWEST_BLOCK} FROM key_segments
        WHERE seq = (SELECT max(seq) FROM key_segments) AND block <> {_NEWEST_BLOCK} AND start < {_NEWEST_ID};
"""

MIGRATION = f"""
    -- start: the last id that a millisecond can have. The events with higher ones, up to the next start, are in it.
    -- block: where the row with the highest number was when it began, SEGMENT_EVENTS rows to a block.
    CREATE TABLE segments (seq INTEGER PRIMARY KEY, start TEXT NOT NULL UNIQUE, block INTEGER NOT NULL);
    INSERT INTO segments
        SELECT seq, iif(seq = 0, '', printf('%08x-%04x-7{_REST_OF_ID}', last_ms >> 16, last_ms & 65535)), 0
        FROM (SELECT seq, start_ms - 1 AS last_ms FROM key_segments);
    DROP TABLE key_segments;
    ALTER TABLE segments RENAME TO key_segments;
    ALTER TABLE marks DROP COLUMN newest_ms;
"""


def key_hash(key: str) -> int:
    """32 bits of a key. Two keys of one hash cost a look at the event, no more."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))
