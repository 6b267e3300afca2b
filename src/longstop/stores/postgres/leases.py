"""Leasing: what is due goes to who asks, over an index whose head is what is due, and nobody waits for another's.

Three ways to the server where something is due: claim, read what was claimed, see when the next is due. The claim is
committed before it is read, because a row of `queue` that was locked as it stood just now may be newer than what the
same statement sees of `deliveries`. Who dies in between has leased what nobody tries until the lease is over.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.delivery import Delivery
from longstop.model.errors import LeaseLostError, StoreUnavailableError, UnreadableRowError
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest
from longstop.stores.postgres import circuits, counters, unreadable
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.floors import Floors, Half
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, EVENT, THESE, columns, each, to_delivery, to_event
from longstop.stores.sql.rows import DELIVERY_COLUMNS

_READY = "q.lease_until_ms IS NULL AND NOT q.held"
_DUE = f"""
    SELECT q.id FROM queue q
    WHERE q.destination = w.destination AND q.tried = {{}} AND {_READY} AND q.due_at_ms <= $7
        AND q.due_at_ms >= {{}} {{}}
    ORDER BY q.due_at_ms, q.id LIMIT {{}} FOR UPDATE SKIP LOCKED
"""
_HOW_MANY = "(SELECT count(*) FROM {})"
_A, _B = _HOW_MANY.format("a"), _HOW_MANY.format("b")
_LEASED = "token = q.token + 1, leased_at_ms = $7, lease_until_ms = $8, worker = $9"
_MOVED = counters.add(counters.moved("(SELECT destination, 'scheduled' AS old, 'leased' AS new FROM leased) AS m"))

_CLAIM = f"""
    WITH w AS MATERIALIZED (
        SELECT * FROM unnest(
            $1::varchar[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bool[], $10::bigint[], $11::bigint[]
        ) AS w (destination, room, half, first_most, second_most, tried_first, first_floor, second_floor)
        WHERE NOT EXISTS (SELECT FROM pauses p WHERE p.destination = w.destination)
            AND NOT EXISTS (SELECT FROM circuits c WHERE c.destination = w.destination)
    ), picked AS MATERIALIZED (
        SELECT taken.id FROM w CROSS JOIN LATERAL (
            -- Half of what was never tried, half of what was, and what one has no use for, the other.
            WITH a AS MATERIALIZED ({_DUE.format("w.tried_first", "w.first_floor", "", "w.half")}),
            b AS MATERIALIZED ({
    _DUE.format("NOT w.tried_first", "w.second_floor", "", f"least(w.second_most, w.room - {_A})")
}),
            c AS MATERIALIZED ({
    _DUE.format(
        "w.tried_first",
        "w.first_floor",
        "AND q.id <> ALL (ARRAY(SELECT id FROM a))",
        f"greatest(0, least(w.first_most - w.half, w.room - {_A} - {_B}))",
    )
})
            SELECT id FROM a UNION ALL SELECT id FROM b UNION ALL SELECT id FROM c
        ) AS taken
    ), leased AS (
        UPDATE queue q SET {_LEASED} FROM picked WHERE q.id = picked.id
        RETURNING q.id, q.destination, q.tried, q.due_at_ms
    ), counted AS ({_MOVED})
    SELECT id, destination, tried, due_at_ms FROM leased
"""
_FIRST = f"""
    (SELECT q.due_at_ms FROM queue q WHERE q.destination = w.destination AND q.tried = {{}} AND {_READY} {{}}
        ORDER BY q.due_at_ms LIMIT 1)
"""
_NEXT = _FIRST.format("{}", "AND q.due_at_ms > $2")
_HEADS = f"""
    SELECT w.destination, {_FIRST.format("false", "")} AS untried, {_FIRST.format("true", "")} AS tried
    FROM unnest($1::varchar[]) AS w (destination)
"""
_LOOK = f"""
    SELECT w.destination AS place, {columns(circuits.COLUMNS, "c")},
        least({_NEXT.format("false")}, {_NEXT.format("true")}) AS next_due_at_ms,
        EXISTS (SELECT FROM pauses p WHERE p.destination = w.destination) AS paused
    FROM unnest($1::varchar[]) AS w (destination) LEFT JOIN circuits c ON c.destination = w.destination
"""
_READ = f"""
    SELECT {DELIVERY}, {EVENT} FROM {THESE} JOIN {DELIVERIES} ON d.id = this LEFT JOIN events e ON e.id = d.event_id
    WHERE q.leased_at_ms = $2 AND q.lease_until_ms = $3 AND q.worker = $4
"""
"""As they are leased by this very call: it may have stood still since, past the lease, and another worker has them."""

_OF = f"FROM queue q WHERE q.destination = $1 AND {_READY}"
_OVER = f"""
    SELECT q.id {_OF} AND q.expires_at_ms <= $2 ORDER BY q.expires_at_ms, q.id LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_PROBES = f"""
    SELECT {DELIVERY} FROM (
        SELECT q.id, q.due_at_ms {_OF} AND NOT q.tried AND q.due_at_ms <= $2 AND q.id <> ALL ($4::varchar[])
        ORDER BY q.due_at_ms {{0}}, q.id {{0}} LIMIT $3
    ) AS found JOIN deliveries d ON d.id = found.id JOIN queue q ON q.id = found.id
    ORDER BY found.due_at_ms {{0}}, found.id {{0}}
"""
_OLDEST_FIRST, _NEWEST_FIRST = _PROBES.format("ASC"), _PROBES.format("DESC")
_TRIES = f"SELECT q.tries {_OF} AND q.tried AND q.tries >= 0 AND q.tries > $2 ORDER BY q.tries LIMIT 1"
_WITH_TRIES = f"""
    SELECT q.id {_OF} AND q.tried AND q.tries >= 0 AND q.tries = $2 AND q.due_at_ms <= $3
        AND q.id <> ALL ($4::varchar[])
    ORDER BY q.due_at_ms, q.id LIMIT 1
"""
_LEASE = f"""
    WITH leased AS (
        UPDATE queue q SET token = q.token + 1, leased_at_ms = $2, lease_until_ms = $3, worker = $4
        WHERE q.id = ANY($1::varchar[]) AND {_READY} RETURNING q.id, q.destination
    ), counted AS ({_MOVED})
    SELECT id FROM leased
"""
_EXTEND = """
    UPDATE queue q SET lease_until_ms = $3 FROM unnest($1::varchar[], $2::bigint[]) AS held (id, token)
    WHERE q.id = held.id AND q.token = held.token AND coalesce(q.lease_until_ms, -1) <> -1 RETURNING q.id, q.token
"""
_EXPIRED = f"""
    SELECT {DELIVERY} FROM queue q JOIN deliveries d ON d.id = q.id
    WHERE q.lease_until_ms <= $1 ORDER BY q.lease_until_ms, q.id LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """What there is to know of a destination that is asked for."""

    paused: bool
    circuit: Circuit | None
    next_due_at_ms: int | None


async def lease(database: PostgresDatabase, request: LeaseRequest) -> LeaseBatch:
    """Claim what is due."""
    ids = await _claim(database, request)
    places = await _look(database, request)
    opened = {name: place.circuit for name, place in places.items() if place.circuit is not None}
    for name, circuit in opened.items():
        if not places[name].paused:
            more, after = await _lease_of_open(database, circuit, request)
            ids += more
            opened[name] = after
    next_due = [
        _next_due(place, opened.get(name), request.now_ms) for name, place in places.items() if not place.paused
    ]
    claims, parked = await _read(database, ids, request)
    if parked:
        # What was parked took others' room.
        next_due.append(request.now_ms)
    return LeaseBatch(claims, min((at for at in next_due if at is not None), default=None), opened)


async def _claim(database: PostgresDatabase, request: LeaseRequest) -> list[str]:
    """Claim from the floors on; and once more where a look from the head finds that something lies below."""
    claimed = await _claim_from_floors(database, request)
    taken = Counter(row["destination"] for row in claimed)
    found_enough = all(taken[name] == room for name, room in request.room.items())
    if not database.floors.may_look(found_enough=found_enough):
        return [row["id"] for row in claimed]
    overlooked = await _look_from_the_head(database, request)
    rest = _rest(request, claimed, [name for name in overlooked if taken[name] < request.room[name]])
    more = await _claim_from_floors(database, rest) if rest.room else []
    return [row["id"] for row in (*claimed, *more)]


async def _claim_from_floors(database: PostgresDatabase, request: LeaseRequest) -> Sequence[asyncpg.Record]:
    floors = database.floors
    with floors.claiming() as meanwhile:
        rows = await database.rows(_CLAIM, *_shares(request, floors))
        last: dict[Half, int] = {}
        for row in rows:
            half = row["destination"], row["tried"]
            last[half] = max(row["due_at_ms"], last.get(half, row["due_at_ms"]))
        for half, due_at_ms in last.items():
            floors.put(half, due_at_ms, meanwhile)
    return rows


async def _look_from_the_head(database: PostgresDatabase, request: LeaseRequest) -> list[str]:
    """Put the floors where the first of each is; the destinations where one is due that a claim did not see.

    A server that is too busy with it is asked later. What was claimed meanwhile is to go out.
    """
    floors = database.floors
    overlooked = []
    with floors.looking() as meanwhile:
        try:
            rows = await database.rows(_HEADS, list(request.room))
        except StoreUnavailableError:
            return []
        for row in rows:
            for tried in (False, True):
                first_ms = row["tried" if tried else "untried"]
                half = row["destination"], tried
                if first_ms is not None and first_ms <= request.now_ms:
                    overlooked.append(row["destination"])
                floors.put(half, request.now_ms if first_ms is None else min(first_ms, request.now_ms), meanwhile)
    return overlooked


def _rest(request: LeaseRequest, claimed: Sequence[asyncpg.Record], names: Sequence[str]) -> LeaseRequest:
    """What there is room for yet, of these destinations."""
    taken = Counter(row["destination"] for row in claimed)
    tried = Counter(row["destination"] for row in claimed if row["tried"])
    return replace(
        request,
        room={name: request.room[name] - taken[name] for name in names},
        retries={name: max(0, request.retries[name] - tried[name]) for name in names if name in request.retries},
    )


def _shares(request: LeaseRequest, floors: Floors) -> tuple[object, ...]:
    rows = []
    for name, room in request.room.items():
        retries = max(0, min(room, request.retries.get(name, room)))
        tried_first = name in request.retries_first
        first, second = (retries, room) if tried_first else (room, retries)
        begin = floors.of((name, tried_first)), floors.of((name, not tried_first))
        rows.append((name, room, min(first, (room + 1) // 2), first, second, tried_first, *begin))
    *shares, first_floors, second_floors = zip(*rows, strict=True) if rows else [()] * 8
    return (*shares, request.now_ms, request.until_ms, request.worker, first_floors, second_floors)


async def _look(database: PostgresDatabase, request: LeaseRequest) -> dict[str, _Place]:
    rows = await database.rows(_LOOK, list(request.room), request.now_ms)
    return {row["place"]: _Place(row["paused"], circuits.of_row(row[1:-2]), row["next_due_at_ms"]) for row in rows}


def _next_due(place: _Place, circuit: Circuit | None, now_ms: int) -> int | None:
    if circuit is not None and circuit.probe_at_ms > now_ms:
        return circuit.probe_at_ms
    return place.next_due_at_ms


async def _read(
    database: PostgresDatabase, ids: Sequence[str], request: LeaseRequest
) -> tuple[tuple[Claim, ...], bool]:
    """What was claimed, the longest due first; and whether some of it could not be read and was parked."""
    if not ids:
        return (), False
    claims = []
    rows = await database.rows(_READ, ids, request.now_ms, request.until_ms, request.worker)
    end = len(DELIVERY_COLUMNS)
    unread = []
    for row in rows:
        try:
            claims.append(Claim(to_delivery(row[:end]), to_event(row[end:])))
        except UnreadableRowError as error:
            unread.append((row["id"], error))
    await unreadable.park(database, unread, request.now_ms)
    claims.sort(key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id))
    return tuple(claims), bool(unread)


async def _lease_of_open(
    database: PostgresDatabase, circuit: Circuit, request: LeaseRequest
) -> tuple[list[str], Circuit]:
    """Of a destination whose circuit is open: what has expired, and the probe if it is time for one."""

    async def work(connection: asyncpg.Connection) -> tuple[list[str], Circuit]:
        kept = await circuits.locked(connection, circuit.destination)
        if kept is None:
            return [], circuit
        rows = await connection.fetch(_OVER, kept.destination, request.over_ms, request.room[kept.destination])
        over = [row["id"] for row in rows]
        probe = await _probe(connection, kept, request.now_ms, over) if kept.probe_at_ms <= request.now_ms else None
        if probe is not None:
            kept = kept.probed(request.now_ms, probe.key)
            await circuits.put(connection, kept)
        wanted = [*over, *([probe.id] if probe else [])]
        leased = await connection.fetch(_LEASE, wanted, request.now_ms, request.until_ms, request.worker)
        return [row["id"] for row in leased], kept

    return await database.transact(work)


async def _probe(connection: asyncpg.Connection, circuit: Circuit, now_ms: int, over: Sequence[str]) -> Delivery | None:
    """The one delivery that finds out best whether the destination is back; locked."""
    query = _NEWEST_FIRST if circuit.newest_first else _OLDEST_FIRST
    rows = await connection.fetch(query, circuit.destination, now_ms, PROBE_CANDIDATES, over)
    untried = list(each(rows, to_delivery))
    if untried:
        return circuit.probe(untried)
    tries = -1
    # As many rounds as there are different numbers of tries, and each looks once into the index.
    while (tries := await connection.fetchval(_TRIES, circuit.destination, tries)) is not None:
        id_ = await connection.fetchval(_WITH_TRIES, circuit.destination, tries, now_ms, over)
        if id_ is not None:
            rows = await connection.fetch(f"SELECT {DELIVERY} FROM {DELIVERIES} WHERE d.id = $1", id_)
            return next(each(rows, to_delivery), None)
    return None


async def extend(database: PostgresDatabase, leases: Sequence[LeaseRef], until_ms: int) -> list[LeaseLostError | None]:
    """Move the end of each lease that is still held."""
    if not leases:
        return []
    ids, tokens = [each.delivery_id for each in leases], [each.token for each in leases]
    held = {(row["id"], row["token"]) for row in await database.rows(_EXTEND, ids, tokens, until_ms)}
    refs = ((each.delivery_id, each.token) for each in leases)
    return [None if ref in held else LeaseLostError(*ref) for ref in refs]


async def expired(database: PostgresDatabase, now_ms: int, limit: int) -> list[Delivery]:
    """Leases that have run out, the longest first."""
    rows = await database.rows(_EXPIRED, now_ms, limit)
    return list(each(rows, to_delivery))
