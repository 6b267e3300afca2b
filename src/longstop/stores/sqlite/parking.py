"""Parking a delivery that cannot be read, or whose event cannot: it is dead, with the reason `malformed`.

So it is in nobody's way, is listed with what is wrong with it, and a person decides: discard it, or mend the store and
replay it. What its row holds that does not belong there becomes what is most like it. Inside of one transaction.
"""

import apsw
import structlog

from longstop.model.delivery import DeadReason, Delivery, State
from longstop.stores.sql.rows import DELIVERY_COLUMNS
from longstop.stores.sqlite import changes, unreadable
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.rows import to_delivery

log = structlog.get_logger("longstop.store")

AT_ONCE = 100
"""How many of those that have no time at which they are due are parked in one transaction."""

_MEND = f"UPDATE deliveries SET {', '.join(f'{name} = ?' for name in DELIVERY_COLUMNS)} WHERE rowid = ?"
_STATES = frozenset(State)


def park(connection: apsw.Connection, rowid: int, error: Exception, now_ms: int, moved: Deltas) -> Delivery:
    """Let a delivery be dead of its row, or of its event's; the delivery as it is then. `moved`: for the counters."""
    trouble = f"the store's row cannot be read: {getattr(error, 'trouble', error)}"
    columns = unreadable.readable(connection, "deliveries", DELIVERY_COLUMNS, rowid)
    old = State(columns["state"]) if columns["state"] in _STATES else None
    before = {"state": (old or State.SCHEDULED).value, "ended_at_ms": columns["ended_at_ms"]}
    columns |= {"state": State.DEAD.value, "reason": DeadReason.MALFORMED.value, "wait": None, "last_error": trouble}
    columns |= {"ended_at_ms": now_ms, "leased_at_ms": None, "lease_until_ms": None, "worker": None}
    parked = to_delivery(tuple(columns[name] for name in DELIVERY_COLUMNS))
    # First the row as it would have been: `change` finds it by its id, looks when it died, if it was dead, and leaves
    # alone what no settlement changes.
    connection.execute(_MEND, (*(columns | before).values(), rowid))
    changes.change(connection, old or State.SCHEDULED, parked, parked.lane)
    moved.parked(parked.destination, old)
    log.error("delivery_unreadable", delivery_id=parked.id, event_id=parked.event_id, error=trouble)
    return parked
