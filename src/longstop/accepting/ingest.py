"""Accepting: verify → read → append → Receipt. The answer goes out when the event is on disk, and not before."""

from collections.abc import Callable, Mapping

import structlog

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.fair_queue import FairQueue
from longstop.accepting.rejections import Rejections
from longstop.group_commit import GroupCommit
from longstop.model.append import Append, initial_deliveries, quarantine_delivery
from longstop.model.credentials import NOT_KEPT
from longstop.model.errors import MalformedError, NotFoundError, QuarantinedError, StoreUnavailableError
from longstop.model.event import Event, Origin, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.routing import Router
from longstop.ports import Clock, Source

log = structlog.get_logger("longstop.accepting.ingest")


class Ingest:
    """The accepting side of a gateway. `unknown` gives what refuses for the name of a source that is not configured.

    rejections: where refusals are noted; None: nowhere.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        unknown: Callable[[str], Source],
        router: Router,
        appends: GroupCommit[Append, Receipt],
        clock: Clock,
        ids: IdFactory,
        pressure: Backpressure,
        rejections: Rejections | None = None,
    ) -> None:
        self._sources = sources
        self._unknown = unknown
        self._router = router
        self._appends = appends
        self._clock = clock
        self._ids = ids
        self._pressure = pressure
        self._rejections = rejections
        self._queue = FairQueue(clock)
        self.accepting = False

    def source(self, name: str) -> Source:
        """The source of this name. Where there is none, one that refuses everything as a wrong signature does."""
        return self._sources.get(name) or self._unknown(name)

    def admit(self, source: Source) -> None:
        """Raise UnavailableError where nothing is taken now: asked before a body is read, of every name alike."""
        if not self.accepting:
            raise self._pressure.stopping(source)
        self._pressure.check(source)

    async def receive(self, source: Source, request: Request) -> Answer:
        """Make the request durable and say so, or answer a handshake.

        Raises VerificationError, AddressError, RateError, QuarantinedError, BodyTooLargeError, UnavailableError:
        each knows its HTTP status.
        """
        patience_s = source.answer_within_s
        now_ms = self._clock.now_ms()
        if not self._queue.acquire_nowait(source.name, now_ms):
            await self._wait_for_turn(source)
            came_ms, now_ms = now_ms, self._clock.now_ms()
            patience_s -= (now_ms - came_ms) / 1000
        try:
            prepared = self._prepare(source, request, now_ms)
            if isinstance(prepared, tuple):
                item, read = prepared
                return self._answered(source, await self._keep(source, item, patience_s), read)
        finally:
            self._queue.release(source.name)
        # Over the rate: it is held back for a moment, but not in the way of those that are within it.
        if isinstance(prepared, float):
            raise await self._pressure.refused(source, prepared)
        return prepared

    def refused(self, asked: str, request: Request, status: int, *, whole: bool) -> None:
        """Take note of a request that was refused; see Rejections.refused."""
        if self._rejections is not None:
            self._rejections.refused(asked, request, status, whole=whole)

    async def publish(self, name: str, request: Request) -> Receipt:
        """Make durable what the application itself says a source's sender would have sent; nothing is verified.

        Raises NotFoundError where there is no such source, MalformedError (nothing is kept then), UnavailableError.
        """
        source = self._sources.get(name)
        if source is None:
            known = ", ".join(sorted(self._sources)) or "none"
            raise NotFoundError(f"found no source {name!r}; expected a configured one: {known}")
        self.admit(source)
        reading = source.read(request)
        item = self._accepted(source, request, self._clock.now_ms(), reading, Origin.PUBLISH)
        return await self._keep(source, item, source.answer_within_s)

    async def _wait_for_turn(self, source: Source) -> None:
        try:
            await self._queue.acquire(source.name, source.answer_within_s / 2)
        except TimeoutError:
            raise self._pressure.crowded(source) from None

    def _prepare(
        self, source: Source, request: Request, now_ms: int
    ) -> Answer | float | tuple[Append, Reading | MalformedError]:
        """Verify and read: what is to be kept of it, and why so. Nothing is: the answer to a handshake; or, where the
        source is over its rate, for how many seconds."""
        answer = source.handshake(request, now_ms)
        if answer is not None:
            return answer
        source.verify(request, now_ms)
        if over_s := self._pressure.over_rate_s(source, now_ms):
            return over_s
        try:
            reading = source.read(request)
        except MalformedError as error:
            return self._quarantined(source, request, now_ms, str(error)), error
        return self._accepted(source, request, now_ms, reading), reading

    def _answered(self, source: Source, receipt: Receipt, read: Reading | MalformedError) -> Answer:
        """What the sender is told of what is kept now. Raises QuarantinedError for what could not be read."""
        if isinstance(read, MalformedError):
            log.warning("quarantined", source=source.name, event_id=receipt.event_id, error=str(read))
            raise QuarantinedError(str(read), receipt.event_id)
        if read.trace:
            log.info(
                "kept", source=source.name, event_id=receipt.event_id, status=receipt.status, trace=dict(read.trace)
            )
        return source.answer(receipt)

    async def _keep(self, source: Source, item: Append, patience_s: float) -> Receipt:
        if not self.accepting:
            raise self._pressure.stopping(source)
        try:
            receipt = await self._appends.submit(item, source.name, patience_s)
        except TimeoutError:
            # It may still be committed; then the sender's next try is answered as a duplicate.
            log.error("store_slow", source=item.event.source, after_s=patience_s)
            message = "the store did not confirm the event in time; send it again"
            raise self._pressure.store_failed(source, message) from None
        except StoreUnavailableError as error:
            log.error("store_unavailable", source=item.event.source, error=str(error))
            raise self._pressure.store_failed(source, "the event could not be stored; send it again") from None
        self._pressure.store_works()
        return receipt

    def _accepted(
        self, source: Source, request: Request, now_ms: int, reading: Reading, origin: Origin = Origin.WEBHOOK
    ) -> Append:
        event = Event(
            id=self._ids.make(now_ms),
            source=source.name,
            received_at_ms=now_ms,
            body=request.body,
            headers=request.headers.blanked(source.credential_headers, NOT_KEPT),
            type=reading.type,
            key=reading.key,
            dedup=reading.dedup,
            origin=origin,
            occurred_at_ms=reading.occurred_at_ms,
        )
        destinations = self._router.destinations(source.name, reading.document)
        deliveries = initial_deliveries(event, destinations, self._router.ordered, lambda: self._ids.make(now_ms))
        return Append(event, deliveries, now_ms + source.dedup_window_ms)

    def _quarantined(self, source: Source, request: Request, now_ms: int, why: str) -> Append:
        headers = request.headers.blanked(source.credential_headers, NOT_KEPT)
        event = Event(self._ids.make(now_ms), source.name, now_ms, request.body, headers)
        return Append(event, (quarantine_delivery(event, why, self._ids.make(now_ms)),))
