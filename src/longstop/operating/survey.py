"""What a selection of deliveries holds: what a person wants to know before deciding on all of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from longstop.model.delivery import Delivery

SAMPLE = 10
"""How many deliveries a survey shows."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a job would be of."""

    count: int
    exact: bool
    """False: there were too many to count. `count` is an estimate, never less than what was counted; the rest is of
    those that were."""
    destinations: Mapping[str, int]
    """Name to how many are for it."""
    keys: int
    """How many different keys they have."""
    oldest_at_ms: int | None
    """When the first of them was received."""
    newest_at_ms: int | None
    sample: tuple[Delivery, ...]
    """The first SAMPLE, the oldest first."""


def survey_of(deliveries: Iterable[Delivery], besides: int = 0) -> Survey:
    """What these deliveries are. besides: so many more are counted, of which nothing else is known."""
    tally = Tally()
    for delivery in deliveries:
        tally.add(delivery)
    survey = tally.survey()
    return replace(survey, count=survey.count + besides)


@dataclass(slots=True)
class Tally:
    """What was counted so far."""

    destinations: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    oldest_at_ms: int | None = None
    newest_at_ms: int | None = None
    sample: list[Delivery] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many they are."""
        return self.destinations.total()

    def add(self, delivery: Delivery) -> None:
        """Count one more."""
        self.destinations[delivery.destination] += 1
        if delivery.key is not None:
            self.keys.add(delivery.key)
        at_ms = delivery.received_at_ms
        self.oldest_at_ms = at_ms if self.oldest_at_ms is None else min(self.oldest_at_ms, at_ms)
        self.newest_at_ms = at_ms if self.newest_at_ms is None else max(self.newest_at_ms, at_ms)
        if len(self.sample) < SAMPLE:
            self.sample.append(delivery)

    def survey(self, count: int | None = None) -> Survey:
        """What was counted. `count`: an estimate of all there are, where these are not all."""
        exact, count = count is None, self.count if count is None else max(count, self.count)
        sample, destinations = tuple(self.sample), dict(self.destinations)
        return Survey(count, exact, destinations, len(self.keys), self.oldest_at_ms, self.newest_at_ms, sample)
