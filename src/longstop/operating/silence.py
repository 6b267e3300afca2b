"""Silence: when a source's last event came, for how long it usually is without, and whether it is silent now."""

from collections.abc import Sequence
from dataclasses import dataclass

from longstop.model.listing import EventFilter, Page
from longstop.model.silence import is_silent, usual_gap_ms
from longstop.model.statistics import HOURS, MINUTES, Resolution, Series, StatisticsQuery
from longstop.ports import Clock, Ledger

ASK_AGAIN_MS = 300_000
"""What a source usually does is asked for so often: it hardly changes."""


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """What is known of when a source's events come."""

    last_event_at_ms: int | None
    """When the newest one was received that is kept."""
    usual_gap_ms: int | None
    """The longest time that it was without one so far; None: too little is known."""
    silent: bool
    """It has been without one for longer than it ever is."""


class SilenceWatch:
    """Looks at sources."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._usual: dict[str, tuple[int, int | None]] = {}
        """By source: when it was asked for, by the rising clock, and what the answer was."""

    async def look(self, source: str) -> SourceActivity:
        """How it stands with a source. Raises StoreUnavailableError."""
        newest = (await self._ledger.find_events(EventFilter(source=source), Page(1))).rows
        last_ms = newest[0].event.received_at_ms if newest else None
        usual_ms = await self._usual_gap_ms(source)
        return SourceActivity(last_ms, usual_ms, is_silent(last_ms, usual_ms, self._clock.now_ms()))

    async def _usual_gap_ms(self, source: str) -> int | None:
        now_ms = self._clock.monotonic_ms()
        asked_ms, usual_ms = self._usual.get(source, (now_ms - ASK_AGAIN_MS, None))
        if now_ms - asked_ms >= ASK_AGAIN_MS:
            usual_ms = usual_gap_ms(await self._times(source, MINUTES), await self._times(source, HOURS))
            self._usual[source] = (now_ms, usual_ms)
        return usual_ms

    async def _times(self, source: str, kept: Resolution) -> Sequence[int]:
        now_ms = self._clock.now_ms()
        query = StatisticsQuery(
            Series.ACCEPTED.value, kept.step_ms, kept.start(now_ms - kept.keep_ms), now_ms, kept.step_ms, source
        )
        return [each.at_ms for each in await self._ledger.statistics(query)]
