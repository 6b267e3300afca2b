"""What failures say of a destination: that it is down, or only that some events fail there whatever is done. Pure.

The two look alike one failure at a time. They differ in this: a destination that is down takes nothing, and an event
that always fails has failed before. So what counts is a run of *different* events that failed, with nothing that
arrived in between; an event that fails again has one voice in it, a smaller one the more often it failed before, and
none where others have arrived since it failed.
And a run is judged by how many fail there anyway: where nine of ten do, forty in a row are nothing unusual.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice

from longstop.model.breaker import BreakerPolicy

SLOTS = 10
"""The window is counted in so many parts."""
VOICES = 5
"""An event that has failed so often is not listened to any more: it says nothing of the destination."""
SHARE_MAX = 0.9
"""At more than this share of failures the run is as long as at this share; else a real outage would never be seen."""
ANSWERED_SHARE_MIN = math.sqrt(0.5)
"""A destination that answers works in part; so an answer weighs half as much as none."""
UNANSWERED_SHARE_MIN = 0.5
LASTING_MS = 600_000
LASTING_SHARE = 0.25
"""Where nothing has arrived for so long, so much of a run is enough: few events would never make a whole one, and too
many to be left to their own backoffs are more often than a probe."""
SUSPECTS = 10_000
"""So many are remembered."""
PRIOR = 10
"""Before anything is known, as after so many first tries: no answer counts as an answer does, until some arrive."""
REMEMBERED = 200
"""Of so many first tries the usual share is made; twice as many are counted before the older half is forgotten."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An attempt, as one who asks for the destination's health sees it."""

    delivery_id: str
    worked: bool
    answered: bool = True
    """Whether it answered at all, where it did not work."""
    failures: int = 0
    """How often this delivery had failed before."""

    @property
    def voice(self) -> float:
        """How much a failure of it counts: half as much with each that went before."""
        return 0.5**self.failures if self.failures < VOICES else 0.0


class Tally:
    """The attempts at one destination lately, counted by one worker."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._usual = _Usual()
        self._window = _Window(policy)
        self._run = _Run()
        self._suspects: dict[str, None] = {}
        """Deliveries that failed while others arrived, the longest suspected first: that they fail says nothing."""

    def begin_anew(self) -> None:
        """The circuit was open and is closed: the counting begins again, and what is usual stays known."""
        self._window = _Window(self._policy)
        self._run = _Run()

    def count(self, seen: Evidence, now_ms: int) -> str | None:
        """Count one attempt; why the circuit is to open, None where it is not. now_ms: of any clock that only rises."""
        if seen.worked:
            self._usual.learn(self._run, first=seen.failures == 0)
            self._suspect(self._run)
            self._suspects.pop(seen.delivery_id, None)
            self._run = _Run()
        heard = seen.worked or (seen.voice > 0 and seen.delivery_id not in self._suspects)
        if heard:
            self._window.count(seen, now_ms)
        if seen.worked:
            return None
        if heard:
            self._run.add(seen, self._usual, now_ms)
        return self._run.verdict(self._policy, now_ms) or self._window.verdict()

    def _suspect(self, run: "_Run") -> None:
        """Another event has arrived: these failed at a destination that works."""
        self._suspects.update(dict.fromkeys(run.voices))
        for oldest in list(islice(self._suspects, max(0, len(self._suspects) - SUSPECTS))):
            del self._suspects[oldest]


class _Run:
    """Events that failed since the last that arrived, each counted once."""

    def __init__(self) -> None:
        self.voices: set[str] = set()
        self._weight = 0.0
        self.answered = self.unanswered = 0
        """First tries among them."""
        self._silent = 0
        self._began_at_ms = 0

    def add(self, seen: Evidence, usual: "_Usual", now_ms: int) -> None:
        if seen.delivery_id in self.voices:
            return
        if not self.voices:
            self._began_at_ms = now_ms
        self.voices.add(seen.delivery_id)
        # The logarithm of how much likelier the failure is where the destination is down than where it is not.
        self._weight += seen.voice * 2 * math.log2(1 / usual.share(seen.answered))
        self._silent += not seen.answered
        if seen.failures == 0:
            self.answered += seen.answered
            self.unanswered += not seen.answered

    def verdict(self, policy: BreakerPolicy, now_ms: int) -> str | None:
        lasting = bool(self.voices) and now_ms - self._began_at_ms >= LASTING_MS
        needed = policy.failures * (LASTING_SHARE if lasting else 1)
        # A sum of many logarithms: it may miss the whole number by a hair.
        if self._weight < needed - 1e-9:
            return None
        events = len(self.voices)
        silent = f", {self._silent} of them without an answer" if self._silent else ""
        return f"{events} event{'s' if events > 1 else ''} in a row failed{silent}"


class _Usual:
    """Which share of the events fails at its first try while the destination works."""

    def __init__(self) -> None:
        self._tries = self._failed = self._unanswered = 0.0

    def learn(self, run: _Run, first: bool) -> None:
        """A run has ended with one that arrived (first: at its first try), so the run was no outage."""
        self._failed += run.answered + run.unanswered
        self._unanswered += run.unanswered
        self._tries += run.answered + run.unanswered + first
        if self._tries >= 2 * REMEMBERED:
            self._tries, self._failed, self._unanswered = self._tries / 2, self._failed / 2, self._unanswered / 2

    def share(self, answered: bool) -> float:
        failed = (self._failed + PRIOR * ANSWERED_SHARE_MIN) / (self._tries + PRIOR)
        if answered:
            return min(SHARE_MAX, max(ANSWERED_SHARE_MIN, failed))
        # Where hardly any go unanswered, an outage is soon seen, however many are answered with an error.
        unanswered = (3 * self._unanswered + PRIOR * ANSWERED_SHARE_MIN) / (self._tries + PRIOR)
        return min(SHARE_MAX, max(UNANSWERED_SHARE_MIN, min(failed, unanswered)))


class _Window:
    """The attempts of the last `window_ms`."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._slot_ms = max(1, policy.window_ms // SLOTS)
        self._slots: deque[list[int]] = deque()
        """[number of the slot, failures, arrivals at the first try, arrivals after failures], oldest first."""

    def count(self, seen: Evidence, now_ms: int) -> None:
        slot = self._slot(now_ms // self._slot_ms)
        slot[1 if not seen.worked else 2 if seen.failures == 0 else 3] += 1

    def _slot(self, number: int) -> list[int]:
        while self._slots and self._slots[0][0] <= number - SLOTS:
            self._slots.popleft()
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append([number, 0, 0, 0])
        return self._slots[-1]

    def verdict(self) -> str | None:
        policy = self._policy
        failed, first, later = (sum(slot[part] for slot in self._slots) for part in (1, 2, 3))
        attempts = failed + first + later
        if attempts < policy.calls or failed < policy.rate * attempts or later <= first:
            return None
        window = f"{policy.window_ms / 1000:g} s"
        return f"{failed} of {attempts} attempts within {window} failed, and what arrived had mostly failed before"
