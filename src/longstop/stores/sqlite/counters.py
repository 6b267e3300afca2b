"""The counters: how many events and deliveries there are, kept by the transactions that change it.

A row of `counters` is a number of something: `events` by source, `unrouted`, and `deliveries` by destination and state.
Each transaction adds once what it changed, however many rows those were.
"""

from collections import Counter, defaultdict

import apsw
import msgspec

from longstop.model.delivery import Delivery, State
from longstop.model.listing import Counts

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
# What was tried and what was never have an index each; without saying which, all that waits would be gone through.
_NEXT_DUE = """
    SELECT min(at) FROM (
        SELECT min(due_at_ms) AS at FROM deliveries
            WHERE destination = ?1 AND state = 'scheduled' AND held = 0 AND attempts = 0
        UNION ALL SELECT min(due_at_ms) FROM deliveries
            WHERE destination = ?1 AND state = 'scheduled' AND held = 0 AND attempts > 0)
"""
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
    for subject, name, state, n in connection.execute(_ALL):
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
    return {name: value for name, value in found if value is not None}
