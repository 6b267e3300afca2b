"""A wall clock that was wrong: how it is noticed, and what follows from it. Pure.

The wall clock is compared with one that only rises (`Clock.monotonic_ms`). Where the two drift apart by more than
JUMP_MS between two looks, somebody has set the wall clock: a virtual machine at its first time sync, a person, a
daylight-saving mistake. Which of the two readings was wrong nobody can know, so the rules are made to be right in both
cases: time that has passed is counted by the rising clock, and nothing waits for a time that nobody asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery

JUMP_MS = 2_000
"""Less is a correction as time services make them, and harms nothing."""
REMEMBERED_MS = 30 * 86_400_000
"""For so long a jump is reckoned with."""
REPAIRS_MAX = 500
"""So much is mended in one go."""
TRUSTED_AFTER_MS = 86_400_000
"""A wall clock that has run beside the rising one for so long is believed, whatever it says."""


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock was set."""

    at_monotonic_ms: int
    from_ms: int
    """What it would have said."""
    to_ms: int
    """What it said instead."""

    @property
    def by_ms(self) -> int:
        """How far; negative: it was set back."""
        return self.to_ms - self.from_ms


class ClockGuard:
    """Watches the two clocks of one process."""

    def __init__(self, wall_ms: int, monotonic_ms: int) -> None:
        self._offset_ms = wall_ms - monotonic_ms
        self._steady_since_ms = monotonic_ms
        self._jumps: list[Jump] = []

    def look(self, wall_ms: int, monotonic_ms: int) -> Jump | None:
        """Compare them; the jump since the last look, None where there was none."""
        offset_ms = wall_ms - monotonic_ms
        by_ms, self._offset_ms = offset_ms - self._offset_ms, offset_ms
        if abs(by_ms) < JUMP_MS:
            return None
        jump = Jump(monotonic_ms, wall_ms - by_ms, wall_ms)
        self._steady_since_ms = monotonic_ms
        self._jumps = [each for each in self._jumps if monotonic_ms - each.at_monotonic_ms < REMEMBERED_MS]
        self._jumps.append(jump)
        return jump

    def steady_ms(self, monotonic_ms: int) -> int:
        """For how long the wall clock has not jumped, as far as this process has seen."""
        return monotonic_ms - self._steady_since_ms

    def translated_ms(self, since_ms: int, now_ms: int) -> int:
        """What today's clock would have said at an instant that was noted as `since_ms`, maybe by the clock before."""
        for jump in self._jumps:
            before = since_ms <= jump.from_ms if jump.by_ms > 0 else now_ms < since_ms <= jump.from_ms
            since_ms += jump.by_ms if before else 0
        # Noted by a clock that was ahead when nobody watched it.
        return min(since_ms, now_ms)

    def ahead_ms(self) -> int:
        """By how much, at most, something that was noted here may seem older than it is."""
        return sum(max(0, jump.by_ms) for jump in self._jumps)

    def in_step(self, delivery: Delivery, now_ms: int) -> Delivery:
        """A delivery whose round began, and which expires, by today's clock."""
        by_ms = self.translated_ms(delivery.round_at_ms, now_ms) - delivery.round_at_ms
        return moved(delivery, by_ms) if by_ms else delivery


def moved(delivery: Delivery, by_ms: int) -> Delivery:
    """This delivery with a round that began so much later."""
    expires_at_ms = None if delivery.expires_at_ms is None else delivery.expires_at_ms + by_ms
    return replace(delivery, round_at_ms=delivery.round_at_ms + by_ms, expires_at_ms=expires_at_ms)


@dataclass(frozen=True, slots=True)
class ClockRepair:
    """What cannot be, whatever happened before: it is what a clock that was ahead has left behind. In milliseconds."""

    now_ms: int
    waits: Mapping[str, int]
    """Destination name to the longest that anything waits there without a person's asking for it."""
    lease_ms: int
    """No lease is longer."""
    dedup_ms: int
    """No dedup window is longer."""
    thorough: bool = False
    """Also what is held in its lane, and dedup keys: a look at all of them."""

    def repaired(self, delivery: Delivery) -> Delivery | None:
        """A scheduled delivery that may wait no longer than it should; None where it is as it should be."""
        if delivery.due_at_ms <= self.now_ms + self.waits[delivery.destination]:
            return None
        replayed = delivery.round > 1 and delivery.tries == 0 and delivery.lost == 0
        if delivery.round_at_ms <= self.now_ms:
            # A replay at a rate: that it comes due much later is what was asked for.
            return None if replayed else replace(delivery, due_at_ms=self.now_ms)
        wait_ms = max(0, delivery.due_at_ms - delivery.round_at_ms) if replayed else 0
        now = moved(delivery, self.now_ms - delivery.round_at_ms)
        return replace(now, due_at_ms=self.now_ms + wait_ms)

    def repaired_circuit(self, circuit: Circuit) -> Circuit | None:
        """An open circuit whose probe need not wait so long; None where it is as it should be."""
        wait_ms = self.waits.get(circuit.destination)
        if wait_ms is None or circuit.probe_at_ms <= self.now_ms + wait_ms:
            return None
        return replace(circuit.put_off(self.now_ms), opened_at_ms=min(circuit.opened_at_ms, self.now_ms))


def trusted_now_ms(wall_ms: int, steady_ms: int, last_ms: int | None, elapsed_ms: int) -> int:
    """The latest time that it may be, for one who erases what is old: a clock ahead must not erase anything.

    steady_ms: for how long the wall clock has run beside the rising one (`ClockGuard.steady_ms`). last_ms: what this
    said the last time, as it is kept in the store; None: never. elapsed_ms: what the rising clock has counted since
    then, or since the start of this process.

    Time goes on by what has certainly passed, so after a stop it lags behind by the length of the stop. When the wall
    clock has not jumped for TRUSTED_AFTER_MS it is believed again. It never goes back.
    """
    if last_ms is None:
        return wall_ms
    if steady_ms >= TRUSTED_AFTER_MS:
        return max(last_ms, wall_ms)
    return max(last_ms, min(wall_ms, last_ms + elapsed_ms))
