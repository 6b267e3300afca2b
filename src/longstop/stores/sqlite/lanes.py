"""Lanes: in each, the delivery with the lowest id that is not done with goes first, and the others are held.

One row of a lane at most is not held, so leasing looks at no lane and costs the same for any backlog. Whatever
ends a delivery's turn, or puts one back, calls `advance` in the same transaction.
"""

import apsw

from longstop.model.delivery import Delivery, State

TAKEN = """
    SELECT 1 FROM deliveries
    WHERE destination = {} AND lane = {} AND state IN ('scheduled', 'leased', 'dead')
"""
"""Whether somebody in a lane has to go before one that joins it, for the inside of an EXISTS."""
_LEASED = "SELECT 1 FROM deliveries WHERE destination = ? AND lane = ? AND state = 'leased' LIMIT 1"
_HEAD = """
    SELECT min(id) FROM deliveries WHERE destination = ? AND lane = ? AND state = '{}'
"""
_HEADS = f"SELECT ({_HEAD.format('scheduled')}), ({_HEAD.format('dead')})"
_HOLD = """
    UPDATE deliveries SET held = 1
    WHERE destination = ? AND lane = ? AND state = 'scheduled' AND held = 0 AND id IS NOT ?
"""
_LET_GO = "UPDATE deliveries SET held = 0 WHERE id = ?"


def may_let_go(delivery: Delivery) -> bool:
    """Whether there may be something new to lease once this is a delivery's row: itself, or the next of its lane.

    One that is dead may have left a lane that its row no longer names.
    """
    return delivery.lane is not None or delivery.state in (State.SCHEDULED, State.DEAD)


def advance(connection: apsw.Connection, destination: str, lane: str) -> None:
    """Let the first of a lane go, and hold the others."""
    place = (destination, lane)
    free = None if connection.execute(_LEASED, place).fetchone() else _first_scheduled(connection, place)
    connection.execute(_HOLD, (*place, free))
    if free is not None:
        connection.execute(_LET_GO, (free,))


def _first_scheduled(connection: apsw.Connection, place: tuple[str, str]) -> str | None:
    """The lowest id of the lane if it is scheduled; None if a dead one stands before it."""
    scheduled, dead = next(connection.execute(_HEADS, place * 2))
    return scheduled if scheduled is not None and (dead is None or scheduled < dead) else None
