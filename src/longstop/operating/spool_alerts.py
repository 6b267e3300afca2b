"""The alert about this process's spool: the one that cannot go through the store, which is away just then.

What is told is decided as for every other alert (`model.alert_rules`), by a book that is kept in memory only, and sent
to the channels at once. A channel that does not take it is tried again as the queue would, for an hour. A process that
is started anew with a spool in use tells of it again.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import structlog

from longstop.model import alert_conditions
from longstop.model.alert import Notice, Status
from longstop.model.alert_book import AlertBook
from longstop.model.alert_channel import RETRY, AlertsSettings, ChannelSettings
from longstop.model.alert_rules import watch
from longstop.model.delivery import OutcomeKind
from longstop.model.errors import StoreUnavailableError
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim
from longstop.model.retry import backoff_ms
from longstop.model.spool import SpoolFacts
from longstop.operating.alert_events import deliveries_of, event_of, takes
from longstop.ports import AlertListener, Clock, Sender, Store

log = structlog.get_logger("longstop.operating.spool_alerts")

LOOK_EVERY_S = 1.0
SILENCES_EVERY_MS = 15_000
SILENCES_WITHIN_S = 2.0
"""A store that hangs is not waited for: the silences are those that were known last."""
KIND = "spool"


@dataclass(slots=True)
class _Waiting:
    """A notice that a channel has not taken yet."""

    notice: Notice
    claim: Claim
    tries: int = 0
    next_ms: int = 0


@dataclass(slots=True)
class _Line:
    """What one channel is still to be told, in its order."""

    channel: ChannelSettings
    sender: Sender
    waiting: deque[_Waiting] = field(default_factory=deque)


class SpoolAlerts:
    """Looks at the spool every second, and tells people itself.

    senders: what tells each of the settings' channels. node: the machine, which the alert is about.
    """

    def __init__(
        self,
        spool: Callable[[], SpoolFacts | None],
        store: Store,
        settings: AlertsSettings,
        senders: Sequence[Sender],
        clock: Clock,
        ids: IdFactory,
        rng: random.Random,
        node: str,
        listeners: Collection[AlertListener] = (),
    ) -> None:
        self._spool = spool
        self._store = store
        self._policy = settings.policy
        self._lines = [_Line(*each) for each in zip(settings.channels, senders, strict=True)]
        self._clock = clock
        self._ids = ids
        self._rng = rng
        self._node = node
        self._listeners = listeners
        self._book = AlertBook()
        self._silences_at_ms: int | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once, and try each channel with what it is to be told next."""
        now_ms = self._clock.now_ms()
        seen = alert_conditions.spool(self._spool(), self._node, now_ms)
        if seen:
            await self._learn_silences()
        decided = watch(self._book, seen, {KIND}, self._policy, now_ms, lambda: self._ids.make(now_ms))
        self._book = replace(decided, outbox=())
        for notice in decided.outbox:
            self._tell(notice, now_ms)
        await asyncio.gather(*(self._send(line) for line in self._lines))

    async def close(self) -> None:
        """Let go of connections and threads."""
        for line in self._lines:
            await line.sender.close()

    async def _learn_silences(self) -> None:
        """What people do not want to hear of, as far as the store can be asked."""
        now_ms = self._clock.monotonic_ms()
        if self._silences_at_ms is not None and now_ms - self._silences_at_ms < SILENCES_EVERY_MS:
            return
        self._silences_at_ms = now_ms
        with contextlib.suppress(StoreUnavailableError, TimeoutError):
            async with asyncio.timeout(SILENCES_WITHIN_S):
                self._book = replace(self._book, silences=(await self._store.alert_book()).silences)

    def _tell(self, notice: Notice, now_ms: int) -> None:
        event = event_of(notice, self._ids, now_ms)
        for line in self._lines:
            if takes(line.channel, notice):
                (delivery,) = deliveries_of(event, notice, [line.channel], self._ids)
                line.waiting.append(_Waiting(notice, Claim(delivery, event)))
        for alert in notice.alerts:
            say = log.info if alert.status is Status.RESOLVED else log.warning
            say("alert", alert=alert.alert, status=str(alert.status), about=alert.name, severity=str(alert.severity))
            for listener in self._listeners:
                listener.tell(alert)

    async def _send(self, line: _Line) -> None:
        """One try at most: what comes after it waits, so that nothing is over before it began."""
        if not line.waiting or self._clock.monotonic_ms() < line.waiting[0].next_ms:
            return
        waiting = line.waiting[0]
        waiting.tries += 1
        outcome = await line.sender.send(waiting.claim, waiting.tries)
        if outcome.kind is OutcomeKind.SUCCESS:
            line.waiting.popleft()
            return
        too_old = self._clock.now_ms() - waiting.claim.event.received_at_ms > RETRY.max_age_ms
        if outcome.kind is OutcomeKind.REJECT or too_old:
            line.waiting.popleft()
            alert = waiting.notice.alerts[0]
            log.error(
                "alert_failed", alert=alert.alert, about=alert.name, channel=line.channel.name, error=outcome.error
            )
            return
        wait_ms = backoff_ms(RETRY, waiting.tries, self._rng)
        waiting.next_ms = self._clock.monotonic_ms() + wait_ms


def _failed(notice: Notice, channel: ChannelSettings, error: str | None) -> None:
    alert = notice.alerts[0]
    log.error("alert_failed", alert=alert.alert, about=alert.name, channel=channel.name, error=error)
