"""What a worker knows of one destination's health: its circuit, how many attempts it may have under way, its rate.

The rules are in `model.breaker` and `model.concurrency_limit`. An open circuit is the store's: it gives nothing out for
that destination but one probe at a time, to whichever worker asks. Here it is opened, and changed by what the probes
say.
"""

from collections.abc import Sequence

import structlog

from longstop.model.backpressure import TokenBucket
from longstop.model.breaker import BreakerPolicy, Circuit, CircuitChange, asked_ms, opened, works
from longstop.model.concurrency_limit import Limiter
from longstop.model.delivery import Delivery, Outcome
from longstop.model.errors import StoreUnavailableError
from longstop.model.evidence import VOICES, Evidence, Tally
from longstop.ports import CircuitListener, Clock, Inbox

log = structlog.get_logger("longstop.delivering.breaker")

ANSWER_AFTER_MS = 5_000
"""So much after its timeout a probe has been heard of, or never will be."""
RESERVED = 8
"""One place of so many, and one at least where there are two, is kept for what was never tried: retries of events that
time out again and again would have them all."""
OVERLOADED = frozenset({429, 502, 503, 504})
"""Of the answers, those that come of too much at once. Any other, as a 500, says nothing of that."""


class Breaker:
    """One destination, as this worker sees it.

    timeout_ms: of an attempt. retry_after_cap_ms: the longest Retry-After that is honoured.
    rate_per_s: attempts a second that all workers together may begin; None: any number.
    listeners: are told when this worker has opened or closed the circuit.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        limiter: Limiter,
        inbox: Inbox,
        clock: Clock,
        *,
        timeout_ms: int,
        retry_after_cap_ms: int,
        rate_per_s: float | None = None,
        listeners: Sequence[CircuitListener] = (),
    ) -> None:
        self._name = name
        self._policy = policy
        self._limiter = limiter
        self._inbox = inbox
        self._clock = clock
        self._answer_ms = timeout_ms + ANSWER_AFTER_MS
        self._cap_ms = retry_after_cap_ms
        self._tally = Tally(policy)
        self._rate_per_s = rate_per_s
        self._bucket = None if rate_per_s is None else TokenBucket(rate_per_s, 0, burst_s=0.1)
        self._listeners = listeners
        self._circuit: Circuit | None = None
        """As last seen in the store."""
        self._changed = False
        """Whether this worker has changed the circuit since it asked the store last."""
        self._opening = False
        self.running = 0
        """Attempts of this worker that are under way."""
        self._retrying = 0
        """Those of them that are not the first of their delivery."""
        self.retry_next = False
        """Whether a delivery that was tried before has the next turn."""

    @property
    def is_open(self) -> bool:
        """Whether the circuit was open when this worker last looked."""
        return self._circuit is not None

    def share(self, workers: int) -> None:
        """So many workers deliver: of the rate, this one has its part."""
        if self._bucket is not None and self._rate_per_s is not None:
            self._bucket.change(self._rate_per_s / workers, self._clock.monotonic_ms())

    # -- before an attempt ---------------------------------------------------------------------------

    def room(self) -> int:
        """How many more attempts may begin now."""
        if self._opening:
            return 0
        free = self._limiter.limit - self.running
        return free if self._bucket is None else min(free, self._bucket.available(self._clock.monotonic_ms()))

    def retries(self) -> int:
        """How many of them may be at deliveries that were tried before."""
        limit = self._limiter.limit
        reserved = max(1, limit // RESERVED) if limit > 1 else 0
        return max(0, limit - reserved - self._retrying)

    def wait_s(self) -> float:
        """How long until the rate allows one more attempt; 0 where it does already."""
        return 0.0 if self._bucket is None else self._bucket.wait_s()

    def begun(self, delivery: Delivery) -> None:
        """An attempt at this delivery begins."""
        self.running += 1
        self._retrying += delivery.attempts > 0
        self.retry_next = delivery.attempts == 0
        if self._bucket is not None:
            self._bucket.spend()

    def done(self, delivery: Delivery) -> None:
        """What `begun` began is over, however it ended. delivery: as it was then."""
        self.running -= 1
        self._retrying -= delivery.attempts > 0

    def asking(self) -> None:
        """The store is asked now. Of what this worker changes meanwhile, its answer may know nothing."""
        self._changed = False

    def seen(self, circuit: Circuit | None) -> None:
        """How the store had the circuit, of what it was asked last; None: closed."""
        if not self._changed:
            self._now(circuit)

    def _now(self, circuit: Circuit | None) -> None:
        if self._circuit is not None and circuit is None:
            # Another worker closed it, or a person did.
            self._begin_anew()
        self._circuit = circuit

    # -- after an attempt ----------------------------------------------------------------------------

    async def ended(self, delivery: Delivery, outcome: Outcome, began_ms: int, probe: Circuit | None) -> None:
        """What has become of an attempt at a delivery, which is given as it was leased.

        began_ms: by the rising clock. probe: the circuit as it was when this went out as its probe.
        """
        # What a person has replayed had failed before, in rounds of its own.
        failures = delivery.tries + (delivery.round > 1)
        if not self._policy.enabled:
            self._limit(outcome, began_ms, failures)
            return
        try:
            if probe is not None:
                await self._after_probe(probe, outcome, failures)
            elif self._circuit is None:
                await self._after_attempt(delivery.id, outcome, began_ms, failures)
            else:
                await self._after_straggler(self._circuit, outcome, failures)
        except StoreUnavailableError as error:
            log.debug("circuit_failed", destination=self._name, error=str(error))

    async def _after_attempt(self, delivery_id: str, outcome: Outcome, began_ms: int, failures: int) -> None:
        worked = works(outcome)
        if worked is None:
            return
        self._limit(outcome, began_ms, failures)
        now_ms = self._clock.now_ms()
        seen = Evidence(delivery_id, worked, outcome.answered, failures)
        why = self._tally.count(seen, self._clock.monotonic_ms())
        asked = asked_ms(outcome, self._cap_ms, failures)
        if asked:
            why = f"it asked to be left alone for {asked / 1000:g} s (HTTP {outcome.status})"
        if why is not None and not self._opening:
            await self._open(opened(self._name, why, self._policy, now_ms, asked, self._answer_ms))

    async def _open(self, circuit: Circuit) -> None:
        self._opening = True
        try:
            if await self._inbox.change_circuit(self._name, 0, circuit):
                log.error("circuit_opened", destination=self._name, why=circuit.why, probe_at_ms=circuit.probe_at_ms)
                self._tell(CircuitChange.opened(circuit))
            self._circuit, self._changed = circuit, True
        finally:
            self._opening = False

    async def _after_straggler(self, circuit: Circuit, outcome: Outcome, failures: int) -> None:
        """It was under way when the circuit opened, and decides nothing any more; but what it asks for counts."""
        asked = asked_ms(outcome, self._cap_ms, failures)
        until_ms = self._clock.now_ms() + asked
        if asked and until_ms > circuit.probe_at_ms:
            await self._change(circuit, circuit.put_off(until_ms))

    async def _after_probe(self, probe: Circuit, outcome: Outcome, failures: int) -> None:
        worked, now_ms = works(outcome), self._clock.now_ms()
        if worked is None:
            return
        if worked:
            changed = probe.after_success(self._policy, now_ms)
        else:
            changed = probe.after_failure(self._policy, now_ms, asked_ms(outcome, self._cap_ms, failures))
            log.warning("probe_failed", destination=self._name, error=outcome.error, probe_at_ms=changed.probe_at_ms)
        if await self._change(probe, changed) and changed is None:
            closed = CircuitChange.closed(probe, "its probes succeeded", now_ms)
            log.info("circuit_closed", destination=self._name, after_s=closed.open_s)
            self._tell(closed)

    async def _change(self, old: Circuit, new: Circuit | None) -> bool:
        changed = await self._inbox.change_circuit(self._name, old.version, new)
        if changed:
            self._now(new)
            self._changed = True
        return changed

    def _tell(self, change: CircuitChange) -> None:
        for watch in self._listeners:
            try:
                watch.circuit_changed(change)
            except Exception:
                # The attempt that changed the circuit is not settled yet, and has to be.
                log.exception("watch_failed", destination=self._name)

    def _limit(self, outcome: Outcome, began_ms: int, failures: int) -> None:
        worked = works(outcome)
        speaks = worked or (failures < VOICES and (not outcome.answered or outcome.status in OVERLOADED))
        if worked is not None and speaks:
            self._limiter.ended(worked, began_ms, self._clock.monotonic_ms(), self.running)

    def _begin_anew(self) -> None:
        self._tally.begin_anew()
        self._limiter.ramp()
