"""Appending a batch: dedup keys, events, deliveries, counters and their commit in two steps of SQLite.

Why: the interpreter's lock is let go and taken again around every step. Beside a busy event loop the writer's
thread waits for its turn each time, and with a statement a table (and BEGIN and COMMIT) that waiting cost more than
the work. So the rows go into a table of the connection's own (TEMP, in memory), and then a row in `batches` has its
trigger put them where they belong, in a statement a table for all of them at once: each of those begins with opening
all the indexes of its table, which for every row by itself cost as much as writing it. SQLite commits a statement
outside a transaction by itself.

A row of `arrivals` is one delivery with its event; the first of an event carries the body, and an event without
deliveries is one row whose delivery is NULL. The row in `batches` says what all of them add to the counters.
"""

import contextlib
from collections.abc import Sequence
from functools import cache
from itertools import chain

import apsw
import msgspec

from longstop.model.append import Append
from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Delivery
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.ids import id_ms
from longstop.stores.sql.rows import DELIVERY_COLUMNS, EVENT_COLUMNS, event_row
from longstop.stores.sqlite import counters, dead_groups, key_places, ledger_schema
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.lanes import TAKEN
from longstop.stores.sqlite.rows import Row, columns

ROWS_MAX = 128
"""How many rows go into one statement. There is a prepared one for every number up to it."""

_HEAD = ["digest", "until_ms", "routed", "key_hash", *EVENT_COLUMNS]
_SAID = {
    "event_id": "id",
    **{name: name for name in ("source", "type", "key", "received_at_ms")},
    **dict.fromkeys(("attempts", "tries", "lost", "token", "skipped"), "0"),
    **dict.fromkeys(("leased_at_ms", "lease_until_ms", "worker", "last_status", "wait", "replaced_by"), "NULL"),
    "round": "1",
}
"""What need not be said of each delivery: it is copied from the event, or the same for all that are new."""
_OWN = [name for name in DELIVERY_COLUMNS if name not in _SAID]
_COLUMNS = [*_HEAD, *(f"d_{name}" for name in _OWN)]
_NO_DELIVERY: Row = (None,) * len(_OWN)
_BODY = _HEAD.index("body")
_NO_BODY = (None,)
_DIGEST, _RECEIVED, _EVENT_ID, _DELIVERY_ID = (
    _COLUMNS.index(name) for name in ("digest", "received_at_ms", "id", "d_id")
)

_DELIVERY = ", ".join(_SAID.get(name, f"d_{name}") for name in DELIVERY_COLUMNS)
_TAKE_KEY = """
    INSERT INTO dedup (digest, at_ms, until_ms, event_id) {}
        ON CONFLICT (digest) DO UPDATE
        SET at_ms = excluded.at_ms, until_ms = excluded.until_ms, event_id = excluded.event_id
        WHERE dedup.until_ms <= excluded.at_ms
"""
"""The key is taken if it is free or its window is over; no row is changed where it is still held."""
_KEYED = "arrivals WHERE digest IS NOT NULL AND body IS NOT NULL"
_ALL_DIFFER = "NEW.batch ->> 'dedups' = NEW.batch ->> 'keys'"
_TAKE_BACK = """
    INSERT INTO counters (subject, name, state, n) SELECT {}, -count(*) FROM {} GROUP BY 1, 2, 3
        ON CONFLICT (subject, name, state) DO UPDATE SET n = n + excluded.n;
"""
_DUPLICATE = "id IN (SELECT event_id FROM repeated)"

SETUP = f"""
CREATE TEMP TABLE arrivals ({columns(_COLUMNS)});
CREATE TEMP TABLE repeated (event_id TEXT, holder TEXT, source TEXT, routed INTEGER);
-- For deliveries to which it matters what is there already, be it of the same batch: each is put in by itself.
CREATE TEMP VIEW singly AS SELECT {", ".join(f"NULL AS {name}" for name in DELIVERY_COLUMNS)};
CREATE TEMP TRIGGER single INSTEAD OF INSERT ON singly BEGIN
    INSERT INTO deliveries ({columns(DELIVERY_COLUMNS)}, held)
        SELECT {columns(DELIVERY_COLUMNS, "NEW")},
            NEW.lane IS NOT NULL AND EXISTS ({TAKEN.format("NEW.destination", "NEW.lane")});
    {dead_groups.ON_ARRIVAL}
END;
-- For dedup keys of which one comes more than once.
CREATE TEMP VIEW keys AS
    SELECT NULL AS digest, NULL AS received_at_ms, NULL AS until_ms, NULL AS id, NULL AS source, NULL AS routed;
CREATE TEMP TRIGGER key INSTEAD OF INSERT ON keys BEGIN
    {_TAKE_KEY.format("VALUES (NEW.digest, NEW.received_at_ms, NEW.until_ms, NEW.id)")};
    INSERT INTO repeated SELECT NEW.id, event_id, NEW.source, NEW.routed FROM dedup
        WHERE digest = NEW.digest AND event_id <> NEW.id;
END;
CREATE TEMP VIEW batches AS SELECT NULL AS batch;
CREATE TEMP TRIGGER arrived INSTEAD OF INSERT ON batches BEGIN
    -- What is left of a batch that failed must not come with another one: nobody waits for its answer any more.
    SELECT RAISE(ROLLBACK, 'other rows than those of the batch')
        WHERE (SELECT count(*) FROM arrivals) <> NEW.batch ->> 'rows';
    -- What the batch before this one repeated has been answered.
    DELETE FROM repeated;
    {_TAKE_KEY.format(f"SELECT digest, received_at_ms, until_ms, id FROM {_KEYED} AND {_ALL_DIFFER}")};
    -- Where all of them were taken, nobody looks who holds them.
    INSERT INTO repeated SELECT arrivals.id, dedup.event_id, source, routed
        FROM {_KEYED.replace("arrivals", "arrivals CROSS JOIN dedup USING (digest)")}
            AND {_ALL_DIFFER} AND changes() < NEW.batch ->> 'dedups' AND dedup.event_id <> arrivals.id;
    INSERT INTO keys SELECT digest, received_at_ms, until_ms, id, source, routed FROM {_KEYED} AND NOT {_ALL_DIFFER};
    -- The batch counts everything in it; what turned out to be a duplicate is taken back.
    {_TAKE_BACK.format("'events', source, ''", "repeated WHERE true")}
    {_TAKE_BACK.format("'unrouted', '', ''", "repeated WHERE routed = 0")}
    {_TAKE_BACK.format("'deliveries', d_destination, d_state", f"arrivals WHERE {_DUPLICATE} AND d_id IS NOT NULL")}
    DELETE FROM arrivals WHERE {_DUPLICATE};
    INSERT INTO events ({columns(EVENT_COLUMNS)}, routed, key_place)
        SELECT {columns(EVENT_COLUMNS)}, routed, {key_places.PLACE.format("id", "key_hash")}
        FROM arrivals WHERE body IS NOT NULL;
    UPDATE events SET redeliveries = redeliveries + (SELECT count(*) FROM repeated WHERE holder = events.id)
        WHERE id IN (SELECT holder FROM repeated);
    INSERT INTO deliveries ({columns(DELIVERY_COLUMNS)})
        SELECT {_DELIVERY} FROM arrivals WHERE d_id IS NOT NULL AND d_lane IS NULL AND d_state <> 'dead';
    INSERT INTO singly SELECT {_DELIVERY} FROM arrivals WHERE d_lane IS NOT NULL OR d_state = 'dead';
    {counters.ADD.format("NEW.batch ->> 'counters'")};
    {ledger_schema.MARK.format(ahead="NEW.batch ->> 'ahead'", behind="NEW.batch ->> 'behind'")}
    {key_places.END_OF_BATCH}
    DELETE FROM arrivals;
END;
"""
"""What a connection needs before it can append."""

_BATCH = "INSERT OR ROLLBACK INTO temp.batches VALUES (?)"
_FORGET_ARRIVALS = "DELETE FROM temp.arrivals"
_REPEATED = "SELECT event_id, holder FROM temp.repeated"


def append(connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
    """Keep each event that is no duplicate, with its deliveries; outside a transaction committed, all or none."""
    some = [row for item in appends for row in _rows(item)]
    try:
        for start in range(0, len(some), ROWS_MAX):
            chunk = some[start : start + ROWS_MAX]
            connection.execute(_insert(len(chunk)), tuple(chain.from_iterable(chunk)))
        connection.execute(_BATCH, (_batch(appends, some),))
    except BaseException:
        # Where that cannot be done either, the next batch fails, too: see SETUP.
        with contextlib.suppress(apsw.Error):
            connection.execute(_FORGET_ARRIVALS)
        raise
    return _receipts(connection, appends)


def _rows(item: Append) -> list[Row]:
    event, deliveries = item.event, item.deliveries
    key_hash = None if event.key is None else key_places.key_hash(event.key)
    digest = None if event.dedup is None else dedup_digest(event.source, event.dedup)
    of_event = (digest, item.dedup_until_ms, len(deliveries), key_hash)
    head = (*of_event, *event_row(event))
    if len(deliveries) == 1:
        return [head + _own(deliveries[0])]
    if not deliveries:
        return [head + _NO_DELIVERY]
    bodiless = head[:_BODY] + _NO_BODY + head[_BODY + 1 :]
    return [(bodiless if place else head) + _own(delivery) for place, delivery in enumerate(deliveries)]


def _own(d: Delivery) -> Row:
    reason = d.reason.value if d.reason else None
    return (
        *(d.id, d.destination, d.state.value, d.due_at_ms, d.lane, d.round_at_ms),
        *(reason, d.last_error, d.ended_at_ms, d.expires_at_ms),
    )


def _batch(appends: Sequence[Append], some: Sequence[Row]) -> str:
    """What all of them, whose rows are `some`, add to the counters, as if none were a duplicate."""
    added = Deltas([("events", item.event.source, "") for item in appends])
    added.update([("deliveries", each.destination, each.state.value) for item in appends for each in item.deliveries])
    added["unrouted", "", ""] = sum(not item.deliveries for item in appends)
    keys = [row[_DIGEST] for row in some if row[_DIGEST] is not None and row[_BODY] is not None]
    offsets = {id_ms(item.event.id) - item.event.received_at_ms for item in appends}
    # A delivery's id is made together with its event's, mostly.
    odd = [row for row in some if row[_DELIVERY_ID] is not None and row[_DELIVERY_ID][:13] != row[_EVENT_ID][:13]]
    offsets.update(id_ms(row[_DELIVERY_ID]) - row[_RECEIVED] for row in odd)
    batch = {
        "rows": len(some),
        "counters": added.rows(),
        "dedups": len(keys),
        "keys": len(set(keys)),
        "ahead": max(offsets, default=0),
        "behind": -min(offsets, default=0),
    }
    return msgspec.json.encode(batch).decode()


assert "id destination state due_at_ms lane round_at_ms reason last_error ended_at_ms expires_at_ms".split() == _OWN


@cache
def _insert(number: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS))})"
    # OR ROLLBACK: one bad row undoes the transaction, which is what we do anyway; no undo log for the statement then.
    return f"INSERT OR ROLLBACK INTO temp.arrivals VALUES {', '.join([row] * number)}"


def _receipts(connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
    holders = {str(event_id): str(holder) for event_id, holder in connection.execute(_REPEATED)}
    if not holders:
        return [Receipt(ReceiptStatus.ACCEPTED, item.event.id) for item in appends]
    return [_receipt(item.event, holders.get(item.event.id)) for item in appends]


def _receipt(event: Event, holder: str | None) -> Receipt:
    if holder is None:
        return Receipt(ReceiptStatus.ACCEPTED, event.id)
    return Receipt(ReceiptStatus.DUPLICATE, holder)
