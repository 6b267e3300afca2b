"""The inbox's statements: append, lease, extend, settle, act. All but append are the inside of one transaction."""

import contextlib
from collections.abc import Sequence

import apsw

from longstop.model.action import Action
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError, TransitionError, UnreadableRowError
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, EVENT_COLUMNS, attempt_row
from longstop.stores.sqlite import changes, circuits, parking, unreadable
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.rows import Row, columns, insert_rows, to_delivery, to_event

_ATTEMPT = ["delivery_id", *ATTEMPT_COLUMNS]
_INSERT_ACTION = 'INSERT INTO actions (delivery_id, "trigger", at_ms, "by", why) VALUES (?, ?, ?, ?, ?)'

_CLAIM = f"""
    SELECT d.rowid AS row, {columns(DELIVERY_COLUMNS, "d")}, {columns(EVENT_COLUMNS, "e")}
    FROM deliveries d LEFT JOIN events e ON e.id = d.event_id
"""
_BY_ROWID = f"{_CLAIM} WHERE d.rowid = ?"
_FREE = f"""
    {_CLAIM}
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
_WITHOUT_TIME = """
    SELECT rowid FROM deliveries
    WHERE destination = ? AND state = 'scheduled' AND held = 0 AND typeof(due_at_ms) <> 'integer' LIMIT ?
"""
_PAUSED = "SELECT destination FROM pauses"
_LEASE = """
    UPDATE deliveries SET state = 'leased', token = ?, leased_at_ms = ?, lease_until_ms = ?, worker = ? WHERE id = ?
"""
_EXTEND = "UPDATE deliveries SET lease_until_ms = ? WHERE id = ? AND state = 'leased' AND token = ?"
_REPLACED_BY = "UPDATE deliveries SET replaced_by = ? WHERE id = ?"
"""No part of `changes.change`: a worker's image of what it tried is older than what a person did meanwhile."""
_HELD = "SELECT lane FROM deliveries WHERE id = ? AND state = 'leased' AND token = ?"
_EXPIRED = """
    SELECT {} FROM deliveries
    WHERE state = 'leased' AND (lease_until_ms <= ? OR typeof(lease_until_ms) <> 'integer')
    ORDER BY lease_until_ms LIMIT ?
"""
"""What is leased until no time at all comes back too. Few are leased at once."""
_EXPIRED_ROWS, _EXPIRED_IDS = _EXPIRED.format(columns(DELIVERY_COLUMNS)), _EXPIRED.format("rowid")
_ROWID = "SELECT rowid FROM deliveries WHERE id = ?"
_DELIVERY = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE rowid = ?"


def lease(connection: apsw.Connection, request: LeaseRequest) -> LeaseBatch:
    """Claim what is due."""
    claims: list[Claim] = []
    next_due: list[int] = []
    moved = Deltas()
    paused = {name for (name,) in connection.execute(_PAUSED)}
    opened = {each.destination: each for each in circuits.circuits(connection) if each.destination in request.room}
    for destination, room in request.room.items():
        if destination in paused:
            continue
        circuit = opened.get(destination)
        if circuit is None:
            claims += _lease_due(connection, destination, room, request, moved)
        else:
            claims += _lease_some(connection, _OVER, destination, room, request, moved)
            probe = _lease_probe(connection, circuit, request, moved)
            if probe:
                claims += probe
                circuit = opened[destination] = circuit.probed(request.now_ms, probe[0].delivery.key)
                circuits.put(connection, circuit)
            if circuit.probe_at_ms > request.now_ms:
                next_due.append(circuit.probe_at_ms)
                continue
        for query in (_NEXT_UNTRIED, _NEXT_TRIED):
            next_due += _next_due(connection, query, destination, request, moved)
    if moved:
        # What was parked took others' room.
        next_due.append(request.now_ms)
    claims.sort(key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id))
    for claim in claims:
        moved.moved(claim.delivery.destination, State.SCHEDULED, State.LEASED)
    moved.add(connection)
    return LeaseBatch(tuple(claims), min(next_due, default=None), opened)


def _lease_due(
    connection: apsw.Connection, destination: str, room: int, request: LeaseRequest, moved: Deltas
) -> list[Claim]:
    """What is due: half of what was never tried and half of what was, and what one half has no use for, the other."""
    most = {_UNTRIED: room, _TRIED: max(0, min(room, request.retries.get(destination, room)))}
    first, second = (_TRIED, _UNTRIED) if destination in request.retries_first else (_UNTRIED, _TRIED)
    half = min(most[first], (room + 1) // 2)
    claims = _lease_some(connection, first, destination, half, request, moved)
    more = min(most[second], room - len(claims))
    claims += _lease_some(connection, second, destination, more, request, moved)
    if len(claims) < room and half < most[first]:
        # What is leased is not due any more: the same question goes on behind it.
        claims += _lease_some(
            connection, first, destination, min(most[first] - half, room - len(claims)), request, moved
        )
    return claims


def _lease_probe(connection: apsw.Connection, circuit: Circuit, request: LeaseRequest, moved: Deltas) -> list[Claim]:
    """The one delivery that finds out best whether the destination is back, if it is time for one."""
    if circuit.probe_at_ms > request.now_ms:
        return []
    place = (circuit.destination, request.now_ms)
    query = _NEWEST_FIRST if circuit.newest_first else _OLDEST_FIRST
    untried = list(unreadable.each(connection.execute(query, (*place, PROBE_CANDIDATES)), to_delivery))
    if untried:
        chosen = circuit.probe(untried)
        return _claims(connection, _ONE, (circuit.destination, chosen.id), request, moved)
    tries = -1
    # As many rounds as there are different numbers of tries, and each looks once into the index.
    while (tries := connection.execute(_TRIES, (circuit.destination, tries)).get) is not None:
        claims = _claims(connection, _WITH_TRIES, (circuit.destination, tries, request.now_ms), request, moved)
        if claims:
            return claims
    return []


def _lease_some(
    connection: apsw.Connection, query: str, destination: str, room: int, request: LeaseRequest, moved: Deltas
) -> list[Claim]:
    if not room:
        return []
    by_ms = request.over_ms if query is _OVER else request.now_ms
    return _claims(connection, query, (destination, by_ms, room), request, moved)


def _claims(
    connection: apsw.Connection, query: str, values: Sequence[str | int], request: LeaseRequest, moved: Deltas
) -> list[Claim]:
    """Lease what a query finds; what of it cannot be read is parked, and nothing else suffers from it."""
    rows: list[Row] | None = None
    with contextlib.suppress(UnicodeDecodeError):
        rows = connection.execute(query, values).fetchall()
    if rows is None:
        rows = _one_by_one(connection, query, values, request.now_ms, moved)
    claims = []
    for row in rows:
        try:
            claims.append(_claim(connection, row, request))
        except UnreadableRowError as error:
            parking.park(connection, row[0], error, request.now_ms, moved)
    return claims


def _rowids(connection: apsw.Connection, query: str, values: Sequence[str | int]) -> list[int]:
    found: list[Row] = connection.execute(query, values).fetchall()
    return [row[0] for row in found]


def _one_by_one(
    connection: apsw.Connection, query: str, values: Sequence[str | int], now_ms: int, moved: Deltas
) -> list[Row]:
    """The rows of a query of which some hold text that is none; those are parked."""
    rows: list[Row] = []
    for rowid in _rowids(connection, f"SELECT row FROM ({query})", values):
        try:
            rows += connection.execute(_BY_ROWID, (rowid,)).fetchall()
        except UnicodeDecodeError as error:
            parking.park(connection, rowid, error, now_ms, moved)
    return rows


def _next_due(
    connection: apsw.Connection, query: str, destination: str, request: LeaseRequest, moved: Deltas
) -> list[int]:
    """When the next of a destination is due. What has no time there stands behind all that has one: it is parked."""
    found = connection.execute(query, (destination, request.now_ms)).get
    if found is None or isinstance(found, int):
        return [] if found is None else [found]
    for rowid in _rowids(connection, _WITHOUT_TIME, (destination, parking.AT_ONCE)):
        parking.park(connection, rowid, ValueError("due_at_ms is no time"), request.now_ms, moved)
    return []


def _claim(connection: apsw.Connection, row: Row, request: LeaseRequest) -> Claim:
    end = 1 + len(DELIVERY_COLUMNS)
    # The event first: nothing is written for one that cannot be read.
    event, delivery = to_event(row[end:]), to_delivery(row[1:end])
    leased = delivery.leased(request.worker, request.now_ms, request.until_ms)
    connection.execute(_LEASE, (leased.token, request.now_ms, request.until_ms, request.worker, leased.id))
    return Claim(leased, event)


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
        changes.change(connection, State.LEASED, delivery, old_lane=held[0])
        moved.moved(delivery.destination, State.LEASED, delivery.state)
        if settlement.attempt is not None:
            attempts.append((delivery.id, *attempt_row(settlement.attempt)))
        results.append(None)
    insert_rows(connection, "attempts", _ATTEMPT, attempts)
    moved.add(connection)
    return results


def act(connection: apsw.Connection, actions: Sequence[Action]) -> list[Delivery | None]:
    """Carry out each action that the delivery's state allows, and record it."""
    moved = Deltas()
    results = [_act_one(connection, action, moved) for action in actions]
    moved.add(connection)
    return results


def _act_one(connection: apsw.Connection, action: Action, moved: Deltas) -> Delivery | None:
    rowids = _rowids(connection, _ROWID, (action.delivery_id,))
    if not rowids:
        return None
    old = _read_or_park(connection, rowids[0], action.transition.at_ms, moved)
    try:
        new = old.after(action.transition)
    except TransitionError:
        return None
    changes.change(connection, old.state, new, old.lane)
    moved.moved(old.destination, old.state, new.state)
    if new.replaced_by != old.replaced_by:
        connection.execute(_REPLACED_BY, (new.replaced_by, new.id))
    record = (old.id, action.transition.trigger.value, action.transition.at_ms, action.by, action.why)
    connection.execute(_INSERT_ACTION, record)
    return new


def expired(connection: apsw.Connection, now_ms: int, limit: int) -> list[Delivery]:
    """Leases that have run out. Raises UnreadableRowError, UnicodeDecodeError."""
    return [to_delivery(row) for row in connection.execute(_EXPIRED_ROWS, (now_ms, limit))]


def park_expired(connection: apsw.Connection, now_ms: int, limit: int) -> None:
    """Park those of them that cannot be read."""
    moved = Deltas()
    for rowid in _rowids(connection, _EXPIRED_IDS, (now_ms, limit)):
        _read_or_park(connection, rowid, now_ms, moved)
    moved.add(connection)


def _read_or_park(connection: apsw.Connection, rowid: int, now_ms: int, moved: Deltas) -> Delivery:
    """A delivery as it stands; where it cannot be read, it is parked and stands as dead."""
    try:
        return to_delivery(next(connection.execute(_DELIVERY, (rowid,))))
    except (UnreadableRowError, UnicodeDecodeError) as error:
        return parking.park(connection, rowid, error, now_ms, moved)
