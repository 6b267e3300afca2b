"""Rejections: no request is refused without a trace, and no stranger fills a disk or a log with it.

`refused` is all that a refusal costs the event loop: a few numbers, and now and then a request that is set aside. What
is wrong with it is found out in the background, of a few of them. The log gets a line for each source and reason, at
once and then once a minute; counts, samples and held requests go to the store every few seconds.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from longstop.accepting.held_requests import HeldRequests
from longstop.accepting.rejection_samples import Refused, SampleMaker
from longstop.model.errors import StoreUnavailableError
from longstop.model.exchange import Request
from longstop.model.ids import IdFactory
from longstop.model.rejection import (
    SAMPLE_BODY_BYTES_MAX,
    TEMPORARY,
    UNKNOWN,
    Rejection,
    RejectionCount,
    RejectionReason,
    reason_of,
)
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import bears_proof
from longstop.ports import Clock, Ledger, Source

log = structlog.get_logger("longstop.accepting.rejections")

FLUSH_EVERY_S = 2.0
TELL_EVERY_MS = 60_000
FORGET_EVERY_S = 3_600.0
CLOCK_SLIP_MS = 60_000
"""A clock that goes wrong by more than this in an hour was set."""
BURST = 5
"""So many samples of one source and reason may be taken at once,"""
SAMPLE_EVERY_MS = 6_000
"""then one so often of what shows the proof of its source,"""
BARE_SAMPLE_EVERY_MS = 60_000
"""and of all else, which is mostly strangers': theirs are not to push out the sender's."""
WAITING_MAX = 64
"""Requests that wait to be looked into."""
LOOKS_MAX = 5
"""So many are looked into at a time: each is verified a few dozen times, with something changed."""

_NOBODY = SourceSettings("", "generic", verify=VerifySettings("hmac-sha256", "X-Signature"))
"""Stands for a name that is not configured, so that as much is done for it."""

_Key = tuple[str, RejectionReason]


@dataclass(slots=True)
class _Tally:
    """How many requests of one source were refused for one reason."""

    total: int = 0
    kept: int = 0
    """Of them, how many the store has counted."""
    told: int = 0
    """Of them, how many the log has heard of."""
    told_at_ms: int | None = None
    latest: Rejection | None = None
    """Looked into since then."""
    first_at_ms: int = 0
    """Of those that the store has not counted."""
    last_at_ms: int = 0
    sampled_until_ms: int = 0

    def add(self, now_ms: int) -> None:
        """One more."""
        if self.total == self.kept:
            self.first_at_ms = now_ms
        self.total += 1
        self.last_at_ms = now_ms

    def may_sample(self, now_ms: int, every_ms: int) -> bool:
        """Whether one more sample is within BURST and one every so often; it is counted then."""
        ahead_ms = max(self.sampled_until_ms - now_ms, 0)
        if ahead_ms > BURST * every_ms:
            # The clock was ahead, and is right again.
            ahead_ms = 0
        if ahead_ms > (BURST - 1) * every_ms:
            return False
        self.sampled_until_ms = now_ms + ahead_ms + every_ms
        return True

    def is_due(self, now_ms: int) -> bool:
        """Whether the log is to hear of it."""
        recently = self.told_at_ms is not None and 0 <= now_ms - self.told_at_ms < TELL_EVERY_MS
        return self.total > self.told and not recently


class Rejections:
    """All that is known of refused requests.

    settings, sources: those that are configured, by name. salt: random bytes. retention_ms: of counts and samples.
    """

    def __init__(
        self,
        settings: Mapping[str, SourceSettings],
        sources: Mapping[str, Source],
        ledger: Ledger,
        clock: Clock,
        ids: IdFactory,
        salt: bytes,
        retention_ms: int,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._ids = ids
        self._retention_ms = retention_ms
        self._samples_of = SampleMaker(settings, sources)
        self._held = HeldRequests(settings, sources, ledger, clock, ids, salt)
        self._tallies: dict[_Key, _Tally] = {}
        self._waiting: list[Refused] = []
        self._samples: list[Rejection] = []
        """Looked into, and not in the store yet."""
        self._news = asyncio.Event()
        self._hour_began: tuple[int, float] | None = None
        """By the clock in milliseconds, and by the event loop's time in seconds, which nobody sets."""

    # -- what a refusal costs ------------------------------------------------------------------------

    def refused(self, asked: str, request: Request, status: int, *, whole: bool) -> None:
        """Take note of a refusal and return at once; of a name that is not configured as of one that is.

        asked: the name that was posted to; empty where the path leads to none. status: of the answer. whole: whether
        the request's body is there.
        """
        now_ms = self._clock.now_ms()
        settings = self._settings.get(asked)
        shows_proof = bears_proof(settings or _NOBODY, request.headers)
        reason = reason_of(status, settings is not None or not asked, shows_proof)
        source = UNKNOWN if settings is None else asked
        tally = self._tallies.get((source, reason))
        if tally is None:
            tally = self._tallies[source, reason] = _Tally()
        tally.add(now_ms)
        self._news.set()
        if reason in TEMPORARY:
            return
        if reason is RejectionReason.WRONG_PROOF and whole:
            self._held.offer(asked, request, now_ms)
        every_ms = SAMPLE_EVERY_MS if reason is RejectionReason.WRONG_PROOF else BARE_SAMPLE_EVERY_MS
        if len(self._waiting) < WAITING_MAX and tally.may_sample(now_ms, every_ms):
            self._set_aside(asked, request, reason, status, whole, now_ms)

    def _set_aside(
        self, asked: str, request: Request, reason: RejectionReason, status: int, whole: bool, now_ms: int
    ) -> None:
        size = len(request.body)
        if size > SAMPLE_BODY_BYTES_MAX:
            request = replace(request, body=b"")
        self._waiting.append(Refused(self._ids.make(now_ms), now_ms, asked, reason, status, request, size, whole))

    def totals(self) -> Mapping[_Key, int]:
        """How many this process has refused since its start, by source and reason."""
        return {key: tally.total for key, tally in self._tallies.items()}

    # -- in the background ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Look into what was refused, tell the log and the store, forget what is old, for ever."""
        self._is_time_to_forget()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGET_EVERY_S):
                    await self._news.wait()
            # Nothing that a stranger sends may end this, and with it the gateway.
            try:
                await self._work()
            except Exception:
                log.exception("rejections_failed")
                # Whatever it was about is not met with again and again.
                self._samples.clear()
                self._held.give_up()

    async def _work(self) -> None:
        if self._is_time_to_forget():
            await self._forget()
        if not self._news.is_set():
            return
        self._news.clear()
        await self.look()
        await self._clock.sleep(FLUSH_EVERY_S)
        await self.look()
        await self.flush()
        if self._waiting or self._samples or self._held.are_waiting:
            self._news.set()

    def _is_time_to_forget(self) -> bool:
        """Whether an hour has passed, by the clock and in truth: a clock that was just set is not believed yet."""
        now_ms, ran_s = self._clock.now_ms(), asyncio.get_running_loop().time()
        if self._hour_began is None:
            self._hour_began = (now_ms, ran_s)
        began_ms, began_s = self._hour_began
        if ran_s - began_s < FORGET_EVERY_S:
            return False
        self._hour_began = (now_ms, ran_s)
        return abs((now_ms - began_ms) - (ran_s - began_s) * 1000) < CLOCK_SLIP_MS

    async def look(self) -> None:
        """Look into some of what was refused, and tell the log what is due: first of each source and reason."""
        now_ms = self._clock.now_ms()
        looks = 0
        for key, tally in list(self._tallies.items()):
            if not tally.is_due(now_ms) or key[1] in TEMPORARY:
                continue
            newest = next((each for each in reversed(self._waiting) if self._key_of(each) == key), None)
            if newest is not None and looks < LOOKS_MAX:
                looks += 1
                await self._look_into(newest)
            elif newest is not None and tally.latest is None:
                # It is told when there is something to say.
                continue
            self._tell(key, tally, now_ms)
        for refused in self._waiting[: LOOKS_MAX - looks]:
            await self._look_into(refused)

    def _key_of(self, refused: Refused) -> _Key:
        return (refused.asked if refused.asked in self._settings else UNKNOWN, refused.reason)

    async def _look_into(self, refused: Refused) -> None:
        self._waiting.remove(refused)
        # One takes up to ten milliseconds; between two, requests have their turn.
        await self._clock.sleep(0)
        sample = self._samples_of.sample(refused)
        self._samples.append(sample)
        self._tallies[self._key_of(refused)].latest = sample

    def _tell(self, key: _Key, tally: _Tally, now_ms: int) -> None:
        sample = tally.latest
        source, reason = key
        said: dict[str, object] = {"source": source, "reason": reason.value, "requests": tally.total - tally.told}
        if sample is not None:
            said["status"] = sample.status
            said["problems"] = list(sample.problems)
            named = {"asked": sample.asked, "nearest": sample.nearest, "client": sample.request.client}
            said.update({name: value for name, value in named.items() if value is not None})
        # Strangers who look around are no reason to wake anybody.
        stranger = source == UNKNOWN and not (sample and self._samples_of.may_be_a_sender(sample))
        if stranger:
            log.info("refused", **said)
        else:
            log.warning("refused", **said)
        tally.told, tally.told_at_ms, tally.latest = tally.total, now_ms, None

    async def stop(self) -> None:
        """Look into what was refused last, and give it to the store; `run` has ended."""
        try:
            await self.look()
            await self.flush()
        except Exception:
            log.exception("rejections_failed")

    async def flush(self) -> None:
        """Give the store what it does not have. What it cannot take now stays for the next time."""
        with contextlib.suppress(StoreUnavailableError):
            await self._record()
            await self._held.flush()

    async def _record(self) -> None:
        totals = {key: tally.total for key, tally in self._tallies.items()}
        counts = [
            RejectionCount(source, reason, total - tally.kept, tally.first_at_ms, tally.last_at_ms)
            for (source, reason), total in totals.items()
            if total > (tally := self._tallies[source, reason]).kept
        ]
        # Bounded, also while the store is down: of no source are more kept than the last few.
        del self._samples[:-WAITING_MAX]
        samples = list(self._samples)
        if not counts and not samples:
            return
        await self._ledger.record_rejections(counts, samples)
        # What was looked into meanwhile, and refused meanwhile, is for the next time.
        del self._samples[: len(samples)]
        for key, total in totals.items():
            self._tallies[key].kept = total

    async def _forget(self) -> None:
        with contextlib.suppress(StoreUnavailableError):
            await self._ledger.forget_rejections(self._clock.now_ms() - self._retention_ms)
            await self._held.forget()
