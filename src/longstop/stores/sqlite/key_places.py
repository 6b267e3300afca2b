"""Finding events by key without an index on keys: those arrive in random order, and each would dirty a page of its own.

Events are kept in segments of a few thousand, by id. An event's place is its segment's number and a hash of its key, in
one integer; the index on places is small, and what arrives together stands together, within one segment. A search asks
every segment, newest or oldest first: each costs a few microseconds, and 10,000,000 events have 2,500 of them.

What was kept before there were segments has no place; it has an index of its own, to which nothing is added.
"""

import zlib

SEGMENT_EVENTS = 4096
"""So many events, and the next batch begins a new segment: a hundred pages a batch at most, and mostly a tenth."""

PLACE = "((SELECT seq FROM key_segments WHERE start_ms <= {0} ORDER BY start_ms DESC LIMIT 1) << 32) | {1}"
"""The place of an event made at {0} whose key has the hash {1}; NULL for no hash."""

END_OF_BATCH = f"""
    UPDATE marks SET newest_ms = max(newest_ms, {{0}} ->> 'newest'),
            ahead_ms = max(ahead_ms, {{0}} ->> 'ahead'), behind_ms = max(behind_ms, {{0}} ->> 'behind')
        WHERE newest_ms < {{0}} ->> 'newest' OR ahead_ms < {{0}} ->> 'ahead' OR behind_ms < {{0}} ->> 'behind';
    UPDATE key_segments SET n = n + ({{0}} ->> 'keyed') WHERE seq = (SELECT max(seq) FROM key_segments);
    -- Begins behind all that there is, so that the segments are in the order of the ids in them.
    INSERT INTO key_segments (seq, start_ms, n)
        SELECT seq + 1, newest_ms + 1, 0 FROM key_segments, marks
        WHERE seq = (SELECT max(seq) FROM key_segments) AND n >= {SEGMENT_EVENTS} AND newest_ms >= start_ms;
"""


def key_hash(key: str) -> int:
    """32 bits of a key. Two keys of one hash cost a look at the event, no more."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))
