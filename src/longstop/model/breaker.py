"""The circuit breaker of a destination: when it opens, when a probe may go out, when it closes. Pure.

A closed circuit is no object at all: each worker weighs failures for itself (`model.evidence`). What is kept in the
store, for every worker and over restarts, is the open one. It is half-open whenever `probe_at_ms` has come: one
delivery goes out as a probe, and what becomes of it decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from longstop.model.delivery import Delivery, Outcome, OutcomeKind
from longstop.model.value import value

ASKING_STATUSES = frozenset({429, 503})
"""With a Retry-After, these speak for the whole destination (RFC 6585, 4; RFC 9110, 15.6.4)."""
ASKS_HEARD = 3
"""An event that has failed so often asks for itself only: it would hold up a healthy destination for ever."""
PATIENCE = 10
"""So many probes may fail after one that succeeded before the waits grow: what takes some events is not down."""
PROBE_CANDIDATES = 16
"""From so many deliveries a probe is chosen: enough to find another key than the last one's."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a destination's circuit opens, and how it is closed again. Times in milliseconds."""

    enabled: bool = True
    failures: int = 40
    """So many events in a row that failed open it. One that got no answer counts as two, where
    answers are usual."""
    rate: float = 0.75
    """Or this share of the attempts of the window, once there were `calls` of them, where the events that arrive
    in the end have mostly failed before: then it is the destination that fails, and not they."""
    calls: int = 50
    window_ms: int = 30_000
    probe_ms: int = 1_000
    """How long until the first probe. Each that fails doubles it, up to the cap; one that succeeded resets it."""
    probe_cap_ms: int = 30_000
    probes: int = 3
    """So many probes have to succeed to close it."""


@value(frozen=True, slots=True)
class Circuit:
    """An open circuit. Every change adds one to `version`, and is refused where the kept version is another."""

    destination: str
    opened_at_ms: int
    probe_at_ms: int
    """Nothing goes out before then."""
    answer_ms: int
    """How long a probe has to be heard of. Then the next may go out: its worker may have died."""
    why: str
    version: int = 1
    failed: int = 0
    """Probes that failed, since the last that did not; counted from -PATIENCE on where one has succeeded."""
    passed: int = 0
    """Probes that succeeded. A failure takes none of them back: events that fail are no sign of an outage where
    others arrive."""
    probe_key: str | None = None
    """The key of the last probe."""

    @property
    def newest_first(self) -> bool:
        """Whether the next probe is the newest of those that were never tried, or the oldest: they take turns."""
        return self.failed % 2 == 0

    def probe(self, untried: Sequence[Delivery]) -> Delivery:
        """Which of these goes out as the probe: the first of another key than the last one's, or else the first."""
        others = (each for each in untried if each.key is None or each.key != self.probe_key)
        return next(others, untried[0])

    def probed(self, now_ms: int, key: str | None = None) -> Self:
        """As a probe leaves whose delivery has this key."""
        return replace(self, version=self.version + 1, probe_at_ms=now_ms + self.answer_ms, probe_key=key)

    def after_success(self, policy: BreakerPolicy, now_ms: int) -> Self | None:
        """After a probe that succeeded; None: closed."""
        if self.passed + 1 >= policy.probes:
            return None
        changed = replace(self, version=self.version + 1, probe_at_ms=now_ms, passed=self.passed + 1)
        return replace(changed, failed=-PATIENCE)

    def after_failure(self, policy: BreakerPolicy, now_ms: int, asked_ms: int) -> Self:
        """After a probe that failed. asked_ms: the Retry-After of its answer, 0 where there was none."""
        failed = self.failed + 1
        wait_ms = min(policy.probe_cap_ms, policy.probe_ms << min(max(failed, 0), 32))
        probe_at_ms = now_ms + max(wait_ms, asked_ms)
        return replace(self, version=self.version + 1, probe_at_ms=probe_at_ms, failed=failed)

    def put_off(self, until_ms: int) -> Self:
        """With no probe before then."""
        return replace(self, version=self.version + 1, probe_at_ms=until_ms)


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """A circuit that opened or closed: what those who watch are told, once, by whoever changed it in the store."""

    destination: str
    change: Literal["opened", "closed"]
    why: str
    at_ms: int
    open_s: float | None = None
    """closed: for how many seconds it was open."""

    @classmethod
    def opened(cls, circuit: Circuit) -> Self:
        """This circuit was put into the store."""
        return cls(circuit.destination, "opened", circuit.why, circuit.opened_at_ms)

    @classmethod
    def closed(cls, circuit: Circuit, why: str, now_ms: int) -> Self:
        """This circuit was taken out of it."""
        # A clock that was set back makes no outage shorter than nothing.
        return cls(circuit.destination, "closed", why, now_ms, max(0, now_ms - circuit.opened_at_ms) / 1000)


def opened(destination: str, why: str, policy: BreakerPolicy, now_ms: int, asked_ms: int, answer_ms: int) -> Circuit:
    """A circuit as it opens. asked_ms: what Retry-After asked for, 0 where it did not. answer_ms: as in Circuit."""
    # A destination that told us when to come back is believed: the first probe that succeeds closes the circuit.
    passed = policy.probes - 1 if asked_ms else 0
    return Circuit(destination, now_ms, now_ms + (asked_ms or policy.probe_ms), answer_ms, why, passed=passed)


def works(outcome: Outcome) -> bool | None:
    """What an attempt says of its destination: that it works, that it does not; None where it says nothing.

    A destination that rejects an event works. A handler that asks to be called later speaks of one event.
    """
    match outcome.kind:
        case OutcomeKind.SUCCESS | OutcomeKind.REJECT:
            return True
        case OutcomeKind.RETRY if outcome.status is not None or outcome.retry_after_s is None:
            return False
    return None


def asked_ms(outcome: Outcome, cap_ms: int, failures: int = 0) -> int:
    """For how long the destination asked to be left alone as a whole; 0 where it did not.

    failures: how often the same delivery had failed before.
    """
    if outcome.kind is not OutcomeKind.RETRY or outcome.status not in ASKING_STATUSES or failures >= ASKS_HEARD:
        return 0
    return min(round((outcome.retry_after_s or 0) * 1000), cap_ms)
