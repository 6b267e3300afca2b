"""The inbox's statements: append, lease, extend, settle, act. All but append are the inside of one transaction."""

from collections.abc import Sequence

import apsw

from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError, TransitionError
from longstop.model.event import Receipt
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.sqlite import append_rows, circuits, counters, dead_groups, lanes
from longstop.stores.sqlite.connection import in_transaction
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    Row,
    attempt_row,
    columns,
    insert_rows,
    to_delivery,
    to_event,
)

_ATTEMPT = ["delivery_id", *ATTEMPT_COLUMNS]
_INSERT_ACTION = 'INSERT INTO actions (delivery_id, "trigger", at_ms, "by", why) VALUES (?, ?, ?, ?, ?)'

_FREE = f"""
    SELECT {columns(DELIVERY_COLUMNS, "d")}, {columns(EVENT_COLUMNS, "e")}
    FROM deliveries d JOIN events e ON e.id = d.event_id
    WHERE d.destination = ? AND d.state = 'scheduled' AND d.held = 0
"""
_UNTRIED = f"{_FREE} AND d.attempts = 0 AND d.due_at_ms <= ? ORDER BY d.due_at_ms, d.id LIMIT ?"
_TRIED = f"{_FREE} AND d.attempts > 0 AND d.due_at_ms <= ? ORDER BY d.due_at_ms, d.id LIMIT ?"
_PROBES = """
    SELECT {} FROM deliveries
    WHERE destination = ? AND state = 'scheduled' AND held = 0 AND attempts = 0 AND due_at_ms <= ?
    ORDER BY due_at_ms {}, id {} LIMIT ?
"""
_OLDEST_FIRST = _PROBES.format(columns(DELIVERY_COLUMNS), "", "")
_NEWEST_FIRST = _PROBES.format(columns(DELIVERY_COLUMNS), "DESC", "DESC")
_TRIES = """
    SELECT min(tries) FROM deliveries
    WHERE destination = ? AND state = 'scheduled' AND held = 0 AND attempts > 0 AND tries > ?
"""
_WITH_TRIES = f"{_FREE} AND d.attempts > 0 AND d.tries = ? AND d.due_at_ms <= ? ORDER BY d.due_at_ms, d.id LIMIT 1"
_ONE = f"{_FREE} AND d.id = ?"
_OVER = f"{_FREE} AND d.expires_at_ms <= ? ORDER BY d.expires_at_ms, d.id LIMIT ?"
_NEXT_DUE = """
    SELECT min(due_at_ms) FROM deliveries
    WHERE destination = ? AND state = 'scheduled' AND held = 0 AND attempts {} 0 AND due_at_ms > ?
"""
_NEXT_UNTRIED, _NEXT_TRIED = _NEXT_DUE.format("="), _NEXT_DUE.format(">")
_PAUSED = "SELECT destination FROM pauses"
_LEASE = """
    UPDATE deliveries SET state = 'leased', token = ?, leased_at_ms = ?, lease_until_ms = ?, worker = ? WHERE id = ?
"""
_EXTEND = "UPDATE deliveries SET lease_until_ms = ? WHERE id = ? AND state = 'leased' AND token = ?"
_CHANGE = """
    UPDATE deliveries SET state = ?, due_at_ms = ?, round = ?, round_at_ms = ?, attempts = ?, tries = ?, lost = ?,
        leased_at_ms = NULL, lease_until_ms = NULL, worker = NULL,
        reason = ?, last_status = ?, last_error = ?, ended_at_ms = ?, lane = ?, expires_at_ms = ?, skipped = ?,
        dead_group = ?, wait = ?
    WHERE id = ?
"""
_REPLACED_BY = "UPDATE deliveries SET replaced_by = ? WHERE id = ?"
"""No part of _CHANGE: a worker's image of what it tried is older than what a person did meanwhile."""
_HELD = "SELECT lane FROM deliveries WHERE id = ? AND state = 'leased' AND token = ?"
_EXPIRED = f"""
    SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries
    WHERE state = 'leased' AND lease_until_ms <= ? ORDER BY lease_until_ms LIMIT ?
"""
_GROUP = "SELECT dead_group FROM deliveries WHERE id = ?"
_DELIVERY = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE id = ?"


def append(connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt]:
    """Keep each event that is not a duplicate, with its deliveries; committed and synced on return, all or none."""
    rows = append_rows.rows(appends)
    if 0 < len(rows) <= append_rows.ROWS_MAX:
        # One statement is a transaction by itself.
        append_rows.insert(connection, [*rows, append_rows.of_batch(appends, rows)])
        return append_rows.receipts(connection, appends)
    return in_transaction(connection, lambda inside: append_many(inside, appends, rows))


def append_many(connection: apsw.Connection, appends: Sequence[Append], rows: Sequence[Row]) -> list[Receipt]:
    """The same within a transaction, for rows of any number."""
    for start in range(0, len(rows), append_rows.ROWS_MAX):
        append_rows.insert(connection, rows[start : start + append_rows.ROWS_MAX])
    append_rows.insert(connection, [append_rows.of_batch(appends, rows)])
    return append_rows.receipts(connection, appends)


def lease(connection: apsw.Connection, request: LeaseRequest) -> LeaseBatch:
    """Claim what is due."""
    claims: list[Claim] = []
    next_due: list[int] = []
    paused = {name for (name,) in connection.execute(_PAUSED)}
    opened = {each.destination: each for each in circuits.circuits(connection) if each.destination in request.room}
    for destination, room in request.room.items():
        if destination in paused:
            continue
        circuit = opened.get(destination)
        if circuit is None:
            claims += _lease_due(connection, destination, room, request)
        else:
            claims += _lease_some(connection, _OVER, destination, room, request)
            probe = _lease_probe(connection, circuit, request)
            if probe:
                claims += probe
                circuit = opened[destination] = circuit.probed(request.now_ms, probe[0].delivery.key)
                circuits.put(connection, circuit)
            if circuit.probe_at_ms > request.now_ms:
                next_due.append(circuit.probe_at_ms)
                continue
        for query in (_NEXT_UNTRIED, _NEXT_TRIED):
            next_due += filter(None, [connection.execute(query, (destination, request.now_ms)).get])
    claims.sort(key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id))
    moved = Deltas()
    for claim in claims:
        moved.moved(claim.delivery.destination, State.SCHEDULED, State.LEASED)
    moved.add(connection)
    return LeaseBatch(tuple(claims), min(next_due, default=None), opened)


def _lease_due(connection: apsw.Connection, destination: str, room: int, request: LeaseRequest) -> list[Claim]:
    """What is due: half of what was never tried and half of what was, and what one half has no use for, the other."""
    most = {_UNTRIED: room, _TRIED: max(0, min(room, request.retries.get(destination, room)))}
    first, second = (_TRIED, _UNTRIED) if destination in request.retries_first else (_UNTRIED, _TRIED)
    half = min(most[first], (room + 1) // 2)
    claims = _lease_some(connection, first, destination, half, request)
    more = min(most[second], room - len(claims))
    claims += _lease_some(connection, second, destination, more, request)
    if len(claims) < room and half < most[first]:
        # What is leased is not due any more: the same question goes on behind it.
        claims += _lease_some(connection, first, destination, min(most[first] - half, room - len(claims)), request)
    return claims


def _lease_probe(connection: apsw.Connection, circuit: Circuit, request: LeaseRequest) -> list[Claim]:
    """The one delivery that finds out best whether the destination is back, if it is time for one."""
    if circuit.probe_at_ms > request.now_ms:
        return []
    place = (circuit.destination, request.now_ms)
    query = _NEWEST_FIRST if circuit.newest_first else _OLDEST_FIRST
    untried = [to_delivery(row) for row in connection.execute(query, (*place, PROBE_CANDIDATES))]
    if untried:
        chosen = circuit.probe(untried)
        rows = connection.execute(_ONE, (circuit.destination, chosen.id))
        return [_claim(connection, row, request) for row in rows]
    tries = -1
    # As many rounds as there are different numbers of tries, and each looks once into the index.
    while (tries := connection.execute(_TRIES, (circuit.destination, tries)).get) is not None:
        row = connection.execute(_WITH_TRIES, (circuit.destination, tries, request.now_ms)).fetchone()
        if row is not None:
            return [_claim(connection, row, request)]
    return []


def _lease_some(
    connection: apsw.Connection, query: str, destination: str, room: int, request: LeaseRequest
) -> list[Claim]:
    if not room:
        return []
    by_ms = request.over_ms if query is _OVER else request.now_ms
    rows = connection.execute(query, (destination, by_ms, room)).fetchall()
    return [_claim(connection, row, request) for row in rows]


def _claim(connection: apsw.Connection, row: tuple[object, ...], request: LeaseRequest) -> Claim:
    width = len(DELIVERY_COLUMNS)
    delivery = to_delivery(row[:width]).leased(request.worker, request.now_ms, request.until_ms)
    values = (delivery.token, request.now_ms, request.until_ms, request.worker, delivery.id)
    connection.execute(_LEASE, values)
    return Claim(delivery, to_event(row[width:]))


def extend(connection: apsw.Connection, leases: Sequence[LeaseRef], until_ms: int) -> list[LeaseLostError | None]:
    """Move the end of each lease that is still held."""
    results: list[LeaseLostError | None] = []
    for lease in leases:
        connection.execute(_EXTEND, (until_ms, lease.delivery_id, lease.token))
        results.append(None if connection.changes() else LeaseLostError(lease.delivery_id, lease.token))
    return results


def settle(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[LeaseLostError | None]:
    """End each lease whose token is still the delivery's, and record its attempt."""
    results: list[LeaseLostError | None] = []
    attempts: list[Row] = []
    moved = Deltas()
    for settlement in settlements:
        delivery = settlement.delivery
        held = connection.execute(_HELD, (delivery.id, delivery.token)).fetchone()
        if held is None:
            results.append(LeaseLostError(delivery.id, delivery.token))
            continue
        _change(connection, State.LEASED, delivery, old_lane=held[0])
        moved.moved(delivery.destination, State.LEASED, delivery.state)
        if settlement.attempt is not None:
            attempts.append((delivery.id, *attempt_row(settlement.attempt)))
        results.append(None)
    insert_rows(connection, "attempts", _ATTEMPT, attempts)
    moved.add(connection)
    return results


def _change(connection: apsw.Connection, old: State, new: Delivery, old_lane: str | None) -> None:
    """Write a delivery's new image over the old one; whoever is next in the lane it was in, or is in, may go now."""
    left = connection.execute(_GROUP, (new.id,)).get if old is State.DEAD else None
    values = (
        *(new.state.value, new.due_at_ms, new.round, new.round_at_ms, new.attempts, new.tries, new.lost),
        *(new.reason.value if new.reason else None, new.last_status, new.last_error, new.ended_at_ms, new.lane),
        new.expires_at_ms,
        new.skipped,
        dead_groups.join(connection, new) if new.state is State.DEAD else None,
        new.wait.value if new.wait else None,
        new.id,
    )
    connection.execute(_CHANGE, values)
    counters.ended(connection, new)
    if left is not None:
        dead_groups.leave(connection, new, left)
    for lane in {old_lane, new.lane}:
        if lane is not None:
            lanes.advance(connection, new.destination, lane)


def act(connection: apsw.Connection, actions: Sequence[Action]) -> list[Delivery | None]:
    """Carry out each action that the delivery's state allows, and record it."""
    moved = Deltas()
    results = [_act_one(connection, action, moved) for action in actions]
    moved.add(connection)
    return results


def _act_one(connection: apsw.Connection, action: Action, moved: Deltas) -> Delivery | None:
    row = connection.execute(_DELIVERY, (action.delivery_id,)).fetchone()
    if row is None:
        return None
    old = to_delivery(row)
    try:
        new = old.after(action.transition)
    except TransitionError:
        return None
    _change(connection, old.state, new, old.lane)
    moved.moved(old.destination, old.state, new.state)
    if new.replaced_by != old.replaced_by:
        connection.execute(_REPLACED_BY, (new.replaced_by, new.id))
    record = (old.id, action.transition.trigger.value, action.transition.at_ms, action.by, action.why)
    connection.execute(_INSERT_ACTION, record)
    return new


def expired(connection: apsw.Connection, now_ms: int, limit: int) -> list[Delivery]:
    """Leases that have run out."""
    return [to_delivery(row) for row in connection.execute(_EXPIRED, (now_ms, limit))]
