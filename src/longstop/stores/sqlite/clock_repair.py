"""Mending what a clock that was ahead has left: found on the reader, written on the writer where it stands yet."""

from collections.abc import Iterator

import apsw

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.delivery import Delivery
from longstop.stores.sql.rows import DELIVERY_COLUMNS
from longstop.stores.sqlite import circuits, unreadable
from longstop.stores.sqlite.rows import columns, to_delivery

_WAITING = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE destination = ? AND state = 'scheduled'"
_FREE = f"{_WAITING} AND held = 0 AND attempts {{}} 0 AND due_at_ms > ?"
_HELD = f"{_WAITING} AND lane IS NOT NULL AND held = 1 AND due_at_ms > ?"
_QUERIES = (_FREE.format("="), _FREE.format(">"))
_LEASES = "SELECT id, token FROM deliveries WHERE state = 'leased' AND lease_until_ms > ? LIMIT ?"
_DEDUP = "SELECT digest FROM dedup WHERE until_ms > ? LIMIT ?"
_MEND = """
    UPDATE deliveries SET due_at_ms = ?, round_at_ms = ?, expires_at_ms = ?
    WHERE id = ? AND state = 'scheduled' AND token = ? AND due_at_ms = ?
"""
_SHORTEN = "UPDATE deliveries SET lease_until_ms = ? WHERE id = ? AND state = 'leased' AND token = ?"
_FORGET_BY = "UPDATE dedup SET until_ms = ? WHERE digest = ?"

Found = tuple[list[tuple[Delivery, int]], list[tuple[str, int]], list[Circuit], list[bytes]]
"""Deliveries as they are to be with their `due_at_ms` until now, leases (id, token), circuits, dedup keys."""


def find(connection: apsw.Connection, repair: ClockRepair) -> Found:
    """What is to be mended; reads only."""
    latest_ms = repair.now_ms + repair.lease_ms
    leases = [(str(id_), int(token)) for id_, token in connection.execute(_LEASES, (latest_ms, REPAIRS_MAX))]
    opened = [circuit for circuit in map(repair.repaired_circuit, circuits.circuits(connection)) if circuit is not None]
    deliveries: list[tuple[Delivery, int]] = []
    for delivery, due_at_ms in _deliveries(connection, repair):
        deliveries.append((delivery, due_at_ms))
        if len(deliveries) >= REPAIRS_MAX:
            break
    keys: list[bytes] = []
    if repair.thorough:
        keys = [key for (key,) in connection.execute(_DEDUP, (repair.now_ms + repair.dedup_ms, REPAIRS_MAX))]
    return deliveries, leases, opened, keys


def _deliveries(connection: apsw.Connection, repair: ClockRepair) -> Iterator[tuple[Delivery, int]]:
    for destination, wait_ms in repair.waits.items():
        for query in (*_QUERIES, _HELD) if repair.thorough else _QUERIES:
            rows = connection.execute(query, (destination, repair.now_ms + wait_ms))
            for found in unreadable.each(rows, to_delivery):
                repaired = repair.repaired(found)
                if repaired is not None:
                    yield repaired, found.due_at_ms


def mend(connection: apsw.Connection, repair: ClockRepair, found: Found) -> int:
    """Write it, within one transaction; how much there was."""
    deliveries, leases, opened, keys = found
    for new, due_at_ms in deliveries:
        connection.execute(_MEND, (new.due_at_ms, new.round_at_ms, new.expires_at_ms, new.id, new.token, due_at_ms))
    for id_, token in leases:
        connection.execute(_SHORTEN, (repair.now_ms + repair.lease_ms, id_, token))
    for circuit in opened:
        circuits.change(connection, circuit.destination, circuit.version - 1, circuit)
    for key in keys:
        connection.execute(_FORGET_BY, (repair.now_ms + repair.dedup_ms, key))
    return len(deliveries) + len(leases) + len(opened) + len(keys)
