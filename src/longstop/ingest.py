"""Accepting: verify → read → append → Receipt. The answer goes out when the event is on disk, and not before."""

from collections.abc import Mapping

import structlog

from longstop.group_commit import GroupCommit
from longstop.model.errors import MalformedError, QuarantinedError, StoreUnavailableError, UnavailableError
from longstop.model.event import Event, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.keeping import Append, first_deliveries, quarantine_delivery
from longstop.model.routing import Router
from longstop.ports import Clock, Source

log = structlog.get_logger("longstop.ingest")

ANSWER_WITHIN_S = 3.5
"""A sender gets 503 when the store takes longer: half a second less than the 4 s promised."""


class Ingest:
    """The accepting side of a gateway."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        decoy: Source,
        router: Router,
        appends: GroupCommit[Append, Receipt],
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._sources = sources
        self._decoy = decoy
        self._router = router
        self._appends = appends
        self._clock = clock
        self._ids = ids
        self.accepting = False

    def source(self, name: str) -> Source:
        """The source of this name. Where there is none, a decoy that refuses everything as a wrong signature does."""
        return self._sources.get(name, self._decoy)

    async def receive(self, source: Source, request: Request) -> Answer:
        """Make the request durable and say so, or answer a handshake.

        Raises VerificationError, QuarantinedError, UnavailableError: each knows its HTTP status.
        """
        now_ms = self._clock.now_ms()
        answer = source.handshake(request, now_ms)
        if answer is not None:
            return answer
        source.verify(request, now_ms)
        try:
            reading = source.read(request)
        except MalformedError as error:
            receipt = await self._keep(self._quarantined(source, request, now_ms, str(error)))
            log.warning("quarantined", source=source.name, event_id=receipt.event_id, error=str(error))
            raise QuarantinedError(str(error), receipt.event_id) from None
        return source.answer(await self._keep(self._accepted(source, request, now_ms, reading)))

    async def _keep(self, item: Append) -> Receipt:
        if not self.accepting:
            raise UnavailableError("the gateway is stopping; send it again")
        try:
            return await self._appends.submit(item)
        except TimeoutError:
            # It may still be committed; then the sender's next try is answered as a duplicate.
            log.error("store_slow", source=item.event.source, after_s=ANSWER_WITHIN_S)
            raise UnavailableError("the store did not confirm the event in time; send it again") from None
        except StoreUnavailableError as error:
            log.error("store_unavailable", source=item.event.source, error=str(error))
            raise UnavailableError("the event could not be stored; send it again") from None

    def _accepted(self, source: Source, request: Request, now_ms: int, reading: Reading) -> Append:
        event = Event(
            id=self._ids.make(now_ms),
            source=source.name,
            received_at_ms=now_ms,
            body=request.body,
            headers=request.headers,
            type=reading.type,
            key=reading.key,
            dedup=reading.dedup,
        )
        destinations = self._router.destinations(source.name, reading.document)
        deliveries = first_deliveries(event, destinations, self._router.ordered, lambda: self._ids.make(now_ms))
        return Append(event, deliveries, now_ms + source.dedup_window_ms)

    def _quarantined(self, source: Source, request: Request, now_ms: int, why: str) -> Append:
        event = Event(self._ids.make(now_ms), source.name, now_ms, request.body, request.headers)
        return Append(event, (quarantine_delivery(event, why, self._ids.make(now_ms)),))
