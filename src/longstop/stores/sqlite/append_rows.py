"""Appending as one statement: dedup keys, events, deliveries and their commit in a single step of SQLite.

Why: the interpreter's lock is let go and taken again around every step. Beside a busy event loop the writer's
thread waits for its turn each time, and with a statement a table (and BEGIN and COMMIT) that waiting cost more than
the work. So the rows of a batch are inserted into a view, whose trigger puts them where they belong; SQLite commits a
statement outside a transaction by itself. View and trigger are the connection's own (TEMP) and no part of the schema.

A row of the view is one delivery with its event; the first of an event carries the body, and an event without
deliveries is one row whose delivery is NULL. The last row of a batch is another thing: what the whole batch adds to the
counters, so that they are changed once for all.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import chain

import apsw
import msgspec

from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.ids import id_ms
from longstop.stores.sqlite import counters, dead_groups, key_places
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.lanes import TAKEN
from longstop.stores.sqlite.rows import DELIVERY_COLUMNS, EVENT_COLUMNS, Row, columns, event_row

ROWS_MAX = 128
"""How many rows go into one statement. There is a prepared one for every number up to it."""

ORDERED_BYTES = 24
"""As much of a dedup key as an RFC 3339 time takes, in a JSON array."""

_HEAD = ["digest", "until_ms", "routed", "id_ms", "key_hash", *EVENT_COLUMNS]
_SAID = {
    **{"event_id": "NEW.id", "source": "NEW.source", "type": "NEW.type", "key": "NEW.key"},
    "received_at_ms": "NEW.received_at_ms",
    **dict.fromkeys(("attempts", "tries", "lost", "token", "skipped"), "0"),
    **dict.fromkeys(("leased_at_ms", "lease_until_ms", "worker", "last_status", "wait", "replaced_by"), "NULL"),
    "round": "1",
}
"""What need not be said of each delivery: it is copied from the event, or the same for all that are new."""
_OWN = [name for name in DELIVERY_COLUMNS if name not in _SAID]
_COLUMNS = ["batch", *_HEAD, *(f"d_{name}" for name in _OWN)]
_NO_DELIVERY: Row = (None,) * len(_OWN)
_OF_BATCH: Row = (None,) * (len(_COLUMNS) - 1)
_BODY = 1 + _HEAD.index("body")
_NO_BODY = (None,)
_ID_MS, _RECEIVED, _EVENT_ID, _DELIVERY_ID = (
    _COLUMNS.index(name) for name in ("id_ms", "received_at_ms", "id", "d_id")
)


_NEW_EVENT = ", ".join(f"NEW.{name}" for name in EVENT_COLUMNS)
_NEW_DELIVERY = ", ".join(_SAID.get(name, f"NEW.d_{name}") for name in DELIVERY_COLUMNS)


SETUP = f"""
CREATE TEMP TABLE repeated (event_id TEXT, holder TEXT, source TEXT, routed INTEGER);
CREATE TEMP TRIGGER repeat AFTER INSERT ON repeated BEGIN
    UPDATE events SET redeliveries = redeliveries + 1 WHERE id = NEW.holder;
    -- The batch's last row counts everything in it; what turns out to be a duplicate is taken back.
    INSERT INTO counters (subject, name, state, n) VALUES ('events', NEW.source, '', -1)
        ON CONFLICT (subject, name, state) DO UPDATE SET n = n - 1;
    INSERT INTO counters (subject, name, state, n) SELECT 'unrouted', '', '', -1 WHERE NEW.routed = 0
        ON CONFLICT (subject, name, state) DO UPDATE SET n = n - 1;
END;
CREATE TEMP VIEW arrivals AS SELECT {", ".join(f"NULL AS {name}" for name in _COLUMNS)};
CREATE TEMP TRIGGER arrive INSTEAD OF INSERT ON arrivals WHEN NEW.batch IS NULL BEGIN
    -- The key is taken if it is free or its window is over; no row is changed where it is still held.
    INSERT INTO dedup (digest, at_ms, until_ms, event_id)
        SELECT NEW.digest, NEW.received_at_ms, NEW.until_ms, NEW.id
        WHERE NEW.digest IS NOT NULL AND NEW.body IS NOT NULL
        ON CONFLICT (digest) DO UPDATE
        SET at_ms = excluded.at_ms, until_ms = excluded.until_ms, event_id = excluded.event_id
        WHERE dedup.until_ms <= excluded.at_ms;
    INSERT INTO repeated SELECT NEW.id, event_id, NEW.source, NEW.routed FROM dedup
        WHERE digest = NEW.digest AND event_id <> NEW.id AND NEW.body IS NOT NULL;
    INSERT INTO counters (subject, name, state, n)
        SELECT 'deliveries', NEW.d_destination, NEW.d_state, -1 FROM repeated
        WHERE event_id = NEW.id AND NEW.d_id IS NOT NULL
        ON CONFLICT (subject, name, state) DO UPDATE SET n = n - 1;
    SELECT RAISE(IGNORE) FROM repeated WHERE event_id = NEW.id;
    INSERT INTO events ({columns(EVENT_COLUMNS)}, routed, key_place)
        SELECT {_NEW_EVENT}, NEW.routed, {key_places.PLACE.format("NEW.id_ms", "NEW.key_hash")}
        WHERE NEW.body IS NOT NULL;
    INSERT INTO deliveries ({columns(DELIVERY_COLUMNS)}, held)
        SELECT {_NEW_DELIVERY},
            NEW.d_lane IS NOT NULL AND EXISTS ({TAKEN.format("NEW.d_destination", "NEW.d_lane")})
        WHERE NEW.d_id IS NOT NULL;
END;
CREATE TEMP TRIGGER arrived INSTEAD OF INSERT ON arrivals WHEN NEW.batch IS NOT NULL BEGIN
    {counters.ADD.format("NEW.batch ->> 'counters'")};
    {key_places.END_OF_BATCH.format("NEW.batch")}
END;
{dead_groups.SETUP}
"""
"""What a connection needs before it can append."""

_REPEATED = "SELECT event_id, holder FROM repeated"
_FORGET_REPEATED = "DELETE FROM repeated"


def rows(appends: Sequence[Append]) -> list[Row]:
    """The rows of the view, in the order of the appends."""
    return [row for item in appends for row in _rows(item)]


def _rows(item: Append) -> list[Row]:
    event, deliveries = item.event, item.deliveries
    key_hash = None if event.key is None else key_places.key_hash(event.key)
    of_event = (digest(event.source, event.dedup), item.dedup_until_ms, len(deliveries), id_ms(event.id), key_hash)
    head = (None, *of_event, *event_row(event))
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


def of_batch(appends: Sequence[Append], some: Sequence[Row]) -> Row:
    """The last row: what all of them, whose rows are `some`, add to the counters, as if none were a duplicate."""
    added = Deltas([("events", item.event.source, "") for item in appends])
    added.update([("deliveries", each.destination, each.state.value) for item in appends for each in item.deliveries])
    added["unrouted", "", ""] = sum(not item.deliveries for item in appends)
    offsets = [row[_ID_MS] - row[_RECEIVED] for row in some]
    # A delivery's id is made together with its event's, mostly.
    odd = [row for row in some if row[_DELIVERY_ID] is not None and row[_DELIVERY_ID][:13] != row[_EVENT_ID][:13]]
    times = [id_ms(row[_DELIVERY_ID]) for row in odd]
    offsets += [at_ms - row[_RECEIVED] for at_ms, row in zip(times, odd, strict=True)]
    batch = {
        "counters": added.rows(),
        "newest": max([*(row[_ID_MS] for row in some), *times], default=0),
        "ahead": max(offsets, default=0),
        "behind": -min(offsets, default=0),
        "keyed": sum(item.event.key is not None for item in appends),
    }
    return (msgspec.json.encode(batch).decode(), *_OF_BATCH)


assert "id destination state due_at_ms lane round_at_ms reason last_error ended_at_ms expires_at_ms".split() == _OWN


def digest(source: str, dedup: bytes | None) -> bytes | None:
    """What a source and key are known by: how the key begins, and a hash.

    The hash keeps every pair of them apart from every other (hence the length in front). The beginning keeps the order:
    where keys begin with a time, as many senders' do, those of one commit stand side by side. As hashes alone they
    would be scattered over the whole table, and each would dirty a page of its own.
    """
    if dedup is None:
        return None
    name = source.encode()
    return dedup[:ORDERED_BYTES] + hashlib.blake2b(b"%d:%b%b" % (len(name), name, dedup), digest_size=16).digest()


def insert(connection: apsw.Connection, some: Sequence[Row]) -> None:
    """Insert at most ROWS_MAX rows and one; outside a transaction they are committed, all or none."""
    connection.execute(_insert(len(some)), tuple(chain.from_iterable(some)))


@cache
def _insert(number: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS))})"
    # OR ROLLBACK: one bad row undoes the transaction, which is what we do anyway; no undo log for the statement then.
    return f"INSERT OR ROLLBACK INTO temp.arrivals VALUES {', '.join([row] * number)}"


def receipts(connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
    """What became of each append that was inserted last."""
    holders = {str(event_id): str(holder) for event_id, holder in connection.execute(_REPEATED)}
    if not holders:
        return [Receipt(ReceiptStatus.ACCEPTED, item.event.id) for item in appends]
    connection.execute(_FORGET_REPEATED)
    return [_receipt(item.event, holders.get(item.event.id)) for item in appends]


def _receipt(event: Event, holder: str | None) -> Receipt:
    if holder is None:
        return Receipt(ReceiptStatus.ACCEPTED, event.id)
    return Receipt(ReceiptStatus.DUPLICATE, holder)
