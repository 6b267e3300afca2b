"""The inbox's statements: append, lease, extend, settle, act. Each function is the inside of one transaction."""

import hashlib
from collections.abc import Sequence

import apsw

from longstop.model.delivery import Delivery
from longstop.model.errors import LeaseLostError, TransitionError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.keeping import Action, Append
from longstop.model.lease import Claim, Hold, LeaseBatch, LeaseRequest, Settlement
from longstop.stores.sqlite import lanes
from longstop.stores.sqlite.rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    Row,
    attempt_row,
    columns,
    delivery_row,
    event_row,
    insert_rows,
    to_delivery,
    to_event,
)

_EVENT = [*EVENT_COLUMNS, "routed"]
_DELIVERY_AND_HELD = [*DELIVERY_COLUMNS, "held"]
_ATTEMPT = ["delivery_id", *ATTEMPT_COLUMNS]
_INSERT_ACTION = 'INSERT INTO actions (delivery_id, "trigger", at_ms, "by", why) VALUES (?, ?, ?, ?, ?)'

_KEY = ["digest", "at_ms", "until_ms", "event_id"]
# The key is taken if it is free or its window is over; no row is changed where it is still held.
_IF_FREE = """
    ON CONFLICT (digest) DO UPDATE
    SET at_ms = excluded.at_ms, until_ms = excluded.until_ms, event_id = excluded.event_id
    WHERE dedup.until_ms <= excluded.at_ms
"""
_HOLDER = "SELECT event_id FROM dedup WHERE digest = ?"
_COUNT_REDELIVERY = "UPDATE events SET redeliveries = redeliveries + 1 WHERE id = ?"
_DUE = f"""
    SELECT {columns(DELIVERY_COLUMNS, "d")}, {columns(EVENT_COLUMNS, "e")}
    FROM deliveries d JOIN events e ON e.id = d.event_id
    WHERE d.destination = ? AND d.state = 'scheduled' AND d.held = 0 AND d.due_at_ms <= ?
    ORDER BY d.due_at_ms, d.id LIMIT ?
"""
_NEXT_DUE = """
    SELECT min(due_at_ms) FROM deliveries
    WHERE destination = ? AND state = 'scheduled' AND held = 0 AND due_at_ms > ?
"""
_LEASE = """
    UPDATE deliveries SET state = 'leased', token = ?, leased_at_ms = ?, lease_until_ms = ?, worker = ? WHERE id = ?
"""
_EXTEND = "UPDATE deliveries SET lease_until_ms = ? WHERE id = ? AND state = 'leased' AND token = ?"
_CHANGE = """
    UPDATE deliveries SET state = ?, due_at_ms = ?, round = ?, round_at_ms = ?, attempts = ?, tries = ?, lost = ?,
        leased_at_ms = NULL, lease_until_ms = NULL, worker = NULL,
        reason = ?, last_status = ?, last_error = ?, ended_at_ms = ?, lane = ?
    WHERE id = ?
"""
_HELD = "SELECT lane FROM deliveries WHERE id = ? AND state = 'leased' AND token = ?"
_EXPIRED = f"""
    SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries
    WHERE state = 'leased' AND lease_until_ms <= ? ORDER BY lease_until_ms LIMIT ?
"""
_DELIVERY = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE id = ?"


def append(connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
    """Keep each event that is not a duplicate, with its deliveries."""
    holders = _take_keys(connection, appends)
    kept = [item for item, holder in zip(appends, holders, strict=True) if holder is None]
    insert_rows(connection, "events", _EVENT, [(*event_row(item.event), len(item.deliveries)) for item in kept])
    _insert_deliveries(connection, [delivery for item in kept for delivery in item.deliveries])
    return [_receipt(connection, item, holder) for item, holder in zip(appends, holders, strict=True)]


def _take_keys(connection: apsw.Connection, appends: Sequence[Append]) -> list[str | None]:
    """For each append, the id of the event that already holds its dedup key; None where it is free to go in."""
    digests = [_digest(item.event.source, item.event.dedup) for item in appends]
    rows = [
        (digest, item.event.received_at_ms, item.dedup_until_ms, item.event.id)
        for digest, item in zip(digests, appends, strict=True)
        if digest is not None
    ]
    if insert_rows(connection, "dedup", _KEY, rows, _IF_FREE) == len(rows):
        return [None] * len(appends)
    return [
        _other_holder(connection, digest, item.event.id) if digest is not None else None
        for digest, item in zip(digests, appends, strict=True)
    ]


def _digest(source: str, dedup: bytes | None) -> bytes | None:
    """What a source and key are known by; the length in front keeps every pair of them apart from every other."""
    if dedup is None:
        return None
    name = source.encode()
    return hashlib.blake2b(b"%d:%b%b" % (len(name), name, dedup), digest_size=16).digest()


def _other_holder(connection: apsw.Connection, digest: bytes, event_id: str) -> str | None:
    holder: str = connection.execute(_HOLDER, (digest,)).get
    return None if holder == event_id else holder


def _receipt(connection: apsw.Connection, item: Append, holder: str | None) -> Receipt:
    if holder is None:
        return Receipt(ReceiptStatus.ACCEPTED, item.event.id)
    connection.execute(_COUNT_REDELIVERY, (holder,))
    return Receipt(ReceiptStatus.DUPLICATE, holder)


def _insert_deliveries(connection: apsw.Connection, deliveries: list[Delivery]) -> None:
    free = [(*delivery_row(each), False) for each in deliveries if each.lane is None]
    insert_rows(connection, "deliveries", _DELIVERY_AND_HELD, free)
    for delivery in deliveries:
        if delivery.lane is not None:
            row = (*delivery_row(delivery), lanes.is_taken(connection, delivery))
            insert_rows(connection, "deliveries", _DELIVERY_AND_HELD, [row])


def lease(connection: apsw.Connection, request: LeaseRequest) -> LeaseBatch:
    """Claim what is due."""
    claims: list[Claim] = []
    next_due: list[int] = []
    for destination, room in request.room.items():
        rows = connection.execute(_DUE, (destination, request.now_ms, room)).fetchall()
        claims.extend(_claim(connection, row, request) for row in rows)
        later = connection.execute(_NEXT_DUE, (destination, request.now_ms)).get
        if later is not None:
            next_due.append(later)
    claims.sort(key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id))
    return LeaseBatch(tuple(claims), min(next_due, default=None))


def _claim(connection: apsw.Connection, row: tuple[object, ...], request: LeaseRequest) -> Claim:
    width = len(DELIVERY_COLUMNS)
    delivery = to_delivery(row[:width]).leased(request.worker, request.now_ms, request.until_ms)
    values = (delivery.token, request.now_ms, request.until_ms, request.worker, delivery.id)
    connection.execute(_LEASE, values)
    return Claim(delivery, to_event(row[width:]))


def extend(connection: apsw.Connection, holds: Sequence[Hold], until_ms: int) -> list[LeaseLostError | None]:
    """Move the end of each lease that is still held."""
    results: list[LeaseLostError | None] = []
    for hold in holds:
        connection.execute(_EXTEND, (until_ms, hold.delivery_id, hold.token))
        results.append(None if connection.changes() else LeaseLostError(hold.delivery_id, hold.token))
    return results


def settle(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[LeaseLostError | None]:
    """End each lease whose token is still the delivery's, and record its attempt."""
    results: list[LeaseLostError | None] = []
    attempts: list[Row] = []
    for settlement in settlements:
        delivery = settlement.delivery
        held = connection.execute(_HELD, (delivery.id, delivery.token)).fetchone()
        if held is None:
            results.append(LeaseLostError(delivery.id, delivery.token))
            continue
        _change(connection, delivery, old_lane=held[0])
        if settlement.attempt is not None:
            attempts.append((delivery.id, *attempt_row(settlement.attempt)))
        results.append(None)
    insert_rows(connection, "attempts", _ATTEMPT, attempts)
    return results


def _change(connection: apsw.Connection, new: Delivery, old_lane: str | None) -> None:
    """Write a delivery's new image over the old one; whoever is next in its lane may go now."""
    values = (
        *(new.state.value, new.due_at_ms, new.round, new.round_at_ms, new.attempts, new.tries, new.lost),
        *(new.reason.value if new.reason else None, new.last_status, new.last_error, new.ended_at_ms, new.lane),
        new.id,
    )
    connection.execute(_CHANGE, values)
    if old_lane is not None:
        lanes.advance(connection, new.destination, old_lane)


def act(connection: apsw.Connection, actions: Sequence[Action]) -> list[Delivery | None]:
    """Carry out each action that the delivery's state allows, and record it."""
    return [_act_one(connection, action) for action in actions]


def _act_one(connection: apsw.Connection, action: Action) -> Delivery | None:
    row = connection.execute(_DELIVERY, (action.delivery_id,)).fetchone()
    if row is None:
        return None
    old = to_delivery(row)
    try:
        new = old.after(action.transition)
    except TransitionError:
        return None
    _change(connection, new, old.lane)
    record = (old.id, action.transition.trigger.value, action.transition.at_ms, action.by, action.why)
    connection.execute(_INSERT_ACTION, record)
    return new


def expired(connection: apsw.Connection, now_ms: int, limit: int) -> list[Delivery]:
    """Leases that have run out."""
    return [to_delivery(row) for row in connection.execute(_EXPIRED, (now_ms, limit))]
