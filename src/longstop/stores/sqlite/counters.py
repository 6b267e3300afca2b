"""The counters: how many events and deliveries there are, kept by the transactions that change it.

A row of `counters` is a number of something: `events` by source, `unrouted`, and `deliveries` by destination and state.
Each transaction adds once what it changed, however many rows those were.
"""

from collections import Counter, defaultdict

import apsw
import msgspec

from longstop.model.delivery import Delivery, State
from longstop.model.listing import Counts
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.unreadable import Row

ADD = """
    INSERT INTO counters (subject, name, state, n)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each({}) WHERE true
    ON CONFLICT (subject, name, state) DO UPDATE SET n = n + excluded.n
"""
_ADD = ADD.format("?")
_ALL = "SELECT subject, name, state, n FROM counters WHERE n <> 0"
_OLDEST = """
    SELECT received_at_ms FROM deliveries WHERE id =
        (SELECT min(id) FROM deliveries WHERE destination = ? AND ended_at_ms IS NULL)
"""
# One look into each of the two indexes of what is scheduled: a condition that is in neither would read all of it.
_NEXT_DUE = """
    SELECT min(due) FROM (
        SELECT (SELECT due_at_ms FROM deliveries INDEXED BY deliveries_untried
                WHERE destination = ?1 AND state = 'scheduled' AND held = 0 AND attempts = 0
                ORDER BY due_at_ms LIMIT 1) AS due
        UNION ALL
        SELECT (SELECT due_at_ms FROM deliveries INDEXED BY deliveries_tried
                WHERE destination = ?1 AND state = 'scheduled' AND held = 0 AND attempts > 0
                ORDER BY due_at_ms LIMIT 1))
"""


def _counter(row: Row) -> tuple[str, str, str, int]:
    subject, name, state, n = row
    if subject == "deliveries":
        State(state)
    return subject, name, state, n


_to_counter = unreadable.reader("counter", "subject name state n".split(), _counter)
_WAITING = (State.SCHEDULED, State.LEASED)


_EARLY = "UPDATE marks SET early_ms = max(early_ms, ?)"


def ended(connection: apsw.Connection, delivery: Delivery) -> None:
    """A delivery has this new image. Where it ended before it came, by a clock that was put back: keep by how much."""
    if delivery.ended_at_ms is not None and delivery.ended_at_ms < delivery.received_at_ms:
        connection.execute(_EARLY, (delivery.received_at_ms - delivery.ended_at_ms,))


class Deltas(Counter[tuple[str, str, str]]):
    """What a transaction adds to the counters, by subject, name and state."""

    def moved(self, destination: str, old: State, new: State) -> None:
        """A delivery went from one state to another."""
        self["deliveries", destination, old.value] -= 1
        self["deliveries", destination, new.value] += 1

    def parked(self, destination: str, old: State | None) -> None:
        """A delivery is dead now. None: its state was none, and no counter has it that anybody looks at."""
        self["deliveries", destination, State.DEAD.value] += 1
        if old is not None:
            self["deliveries", destination, old.value] -= 1

    def rows(self) -> list[tuple[str, str, str, int]]:
        """As they go into the statement."""
        return [(*counter, n) for counter, n in self.items() if n]

    def add(self, connection: apsw.Connection) -> None:
        """Add them; inside the transaction that changed what they count."""
        rows = self.rows()
        if rows:
            connection.execute(_ADD, (msgspec.json.encode(rows).decode(),))


def counts(connection: apsw.Connection) -> Counts:
    """How much of everything there is."""
    sources: dict[str, int] = {}
    deliveries: defaultdict[str, dict[State, int]] = defaultdict(dict)
    unrouted = 0
    for subject, name, state, n in unreadable.each(connection.execute(_ALL), _to_counter):
        if subject == "events":
            sources[name] = n
        elif subject == "unrouted":
            unrouted = n
        else:
            deliveries[name][State(state)] = n
    waiting = [name for name, states in deliveries.items() if any(states.get(each) for each in _WAITING)]
    oldest = _look_up(connection, _OLDEST, waiting)
    return Counts(
        events=sum(sources.values()),
        unrouted=unrouted,
        deliveries=dict(deliveries),
        oldest_waiting_at_ms=min(oldest.values(), default=None),
        sources=sources,
        oldest_waiting=oldest,
        next_due=_look_up(connection, _NEXT_DUE, waiting),
    )


def _look_up(connection: apsw.Connection, query: str, destinations: list[str]) -> dict[str, int]:
    found = ((name, connection.execute(query, (name,)).get) for name in destinations)
    # Anything but a number is in a row that cannot be read; whoever leases it says so.
    return {name: value for name, value in found if isinstance(value, int)}
