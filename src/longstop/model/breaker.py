"""The circuit breaker of a destination: when it opens, when a probe may go out, when it closes. Pure.

A closed circuit is no object at all: each worker counts failures for itself. What is kept in the store, for every
worker and over restarts, is the open one. It is half-open whenever `probe_at_ms` has come: one delivery goes out
as a probe, and what becomes of it decides.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal, Self

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.value import value

ASKING_STATUSES = frozenset({429, 503})
"""With a Retry-After, these speak for the whole destination (RFC 6585, 4; RFC 9110, 15.6.4)."""
SLOTS = 10
"""The window is counted in so many parts."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a destination's circuit opens, and how it is closed again. Times in milliseconds."""

    enabled: bool = True
    failures: int = 20
    """So many failures in a row open it."""
    rate: float = 0.75
    """Or this share of the attempts of the window, once there were `calls` of them."""
    calls: int = 50
    window_ms: int = 30_000
    probe_ms: int = 1_000
    """How long until the first probe. Each that fails doubles it, up to the cap; one that succeeded resets it."""
    probe_cap_ms: int = 30_000
    probes: int = 3
    """So many probes in a row have to succeed to close it."""


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
    """Probes that failed, since the last that did not, or the one after it."""
    passed: int = 0
    """Probes that succeeded, since the last that did not."""

    def probed(self, now_ms: int) -> Self:
        """As a probe leaves."""
        return replace(self, version=self.version + 1, probe_at_ms=now_ms + self.answer_ms)

    def after_success(self, policy: BreakerPolicy, now_ms: int) -> Self | None:
        """After a probe that succeeded; None: closed."""
        if self.passed + 1 >= policy.probes:
            return None
        return replace(self, version=self.version + 1, probe_at_ms=now_ms, failed=0, passed=self.passed + 1)

    def after_failure(self, policy: BreakerPolicy, now_ms: int, asked_ms: int) -> Self:
        """After a probe that failed. asked_ms: the Retry-After of its answer, 0 where there was none."""
        # One that lets some through is not down: it is asked again as soon as after the opening.
        failed = 0 if self.passed else self.failed + 1
        wait_ms = min(policy.probe_cap_ms, policy.probe_ms << min(failed, 32))
        probe_at_ms = now_ms + max(wait_ms, asked_ms)
        return replace(self, version=self.version + 1, probe_at_ms=probe_at_ms, failed=failed, passed=0)

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


def asked_ms(outcome: Outcome, cap_ms: int) -> int:
    """For how long the destination asked to be left alone as a whole; 0 where it did not."""
    if outcome.kind is not OutcomeKind.RETRY or outcome.status not in ASKING_STATUSES:
        return 0
    return min(round((outcome.retry_after_s or 0) * 1000), cap_ms)


class Tally:
    """The attempts at one destination lately, counted by one worker."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._slot_ms = max(1, policy.window_ms // SLOTS)
        self._slots: deque[list[int]] = deque()
        """[number of the slot, attempts, failures], oldest first."""
        self._in_a_row = 0

    def count(self, worked: bool, now_ms: int) -> str | None:
        """Count one attempt; why the circuit is to open, None where it is not."""
        self._in_a_row = 0 if worked else self._in_a_row + 1
        slot = self._slot(now_ms // self._slot_ms)
        slot[1] += 1
        slot[2] += not worked
        return None if worked else self._verdict()

    def _slot(self, number: int) -> list[int]:
        while self._slots and self._slots[0][0] <= number - SLOTS:
            self._slots.popleft()
        # A clock that was set back goes on in the slot it had reached.
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append([number, 0, 0])
        return self._slots[-1]

    def _verdict(self) -> str | None:
        policy = self._policy
        if self._in_a_row >= policy.failures:
            return f"{self._in_a_row} attempts in a row failed"
        attempts = sum(slot[1] for slot in self._slots)
        failures = sum(slot[2] for slot in self._slots)
        if attempts >= policy.calls and failures >= policy.rate * attempts:
            return f"{failures} of {attempts} attempts within {policy.window_ms / 1000:g} s failed"
        return None
