"""Writing a delivery's new image over the old one, with all that hangs on it. The inside of one transaction."""

import apsw

from longstop.model.delivery import Delivery, State
from longstop.stores.sqlite import counters, dead_groups, lanes

_CHANGE = """
    UPDATE deliveries SET state = ?, due_at_ms = ?, round = ?, round_at_ms = ?, attempts = ?, tries = ?, lost = ?,
        leased_at_ms = NULL, lease_until_ms = NULL, worker = NULL,
        reason = ?, last_status = ?, last_error = ?, ended_at_ms = ?, lane = ?, expires_at_ms = ?, skipped = ?,
        dead_group = ?, wait = ?
    WHERE id = ?
"""
_GROUP = "SELECT dead_group, ended_at_ms FROM deliveries WHERE id = ?"


def change(connection: apsw.Connection, old: State, new: Delivery, old_lane: str | None) -> None:
    """Write a delivery's new image over the old one; whoever is next in the lane it was in, or is in, may go now."""
    left, died_at_ms = next(connection.execute(_GROUP, (new.id,))) if old is State.DEAD else (None, None)
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
        dead_groups.leave(connection, new.key, left, died_at_ms)
    for lane in {old_lane, new.lane}:
        if lane is not None:
            lanes.advance(connection, new.destination, lane)
