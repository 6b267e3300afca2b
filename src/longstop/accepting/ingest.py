"""Accepting: verify → read → append → Receipt. The answer goes out when the event is on disk, and not before."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.fair_queue import FairQueue
from longstop.accepting.large_requests import BODY_BYTES, COMMITTED_TOGETHER_BYTES, Held, OneAtATime
from longstop.accepting.rejections import Rejections
from longstop.group_commit import GroupCommit
from longstop.model.append import Append, initial_deliveries, quarantine_delivery
from longstop.model.credentials import NOT_KEPT
from longstop.model.errors import MalformedError, NotFoundError, QuarantinedError, StoreUnavailableError
from longstop.model.event import Event, Origin, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.routing import Router, Target
from longstop.ports import Clock, Read, Reader, Source

Prepared = tuple[Append, Reading | MalformedError]
"""What is to be kept of a request, and why so."""

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
        reader: Reader | None = None,
    ) -> None:
        self._sources = sources
        self._unknown = unknown
        self._router = router
        self._appends = appends
        self._clock = clock
        self._ids = ids
        self._pressure = pressure
        self._rejections = rejections
        self._reader = reader
        self._queue = FairQueue(clock)
        self._held = Held()
        self._verifying = OneAtATime()
        self._reading = OneAtATime()
        self._committing = OneAtATime()
        self.accepting = False

    def source(self, name: str) -> Source:
        """The source of this name. Where there is none, one that refuses everything as a wrong signature does."""
        return self._sources.get(name) or self._unknown(name)

    def admit(self, source: Source) -> None:
        """Raise UnavailableError where nothing is taken now: asked before a body is read, of every name alike."""
        if not self.accepting:
            raise self._pressure.stopping(source)
        self._pressure.check(source)

    def receive(self, source: Source, request: Request) -> Coroutine[Any, Any, Answer]:
        """Make the request durable and say so, or answer a handshake.

        Raises VerificationError, AddressError, RateError, QuarantinedError, BodyTooLargeError, UnavailableError:
        each knows its HTTP status.
        """
        came_ms = self._clock.monotonic_ms()
        if len(request.body) > BODY_BYTES:
            return self._receive_large(source, request, came_ms)
        return self._receive(source, request, came_ms)

    async def _receive_large(self, source: Source, request: Request, came_ms: int) -> Answer:
        """The same with a large body: so many bytes of them at once, and hashed apart."""
        answer = source.handshake(request, self._clock.now_ms())
        if answer is not None:
            return answer
        size = len(request.body)
        if not self._held.acquire_nowait(source.name, size):
            raise self._pressure.crowded(source)
        try:
            await self._verify_apart(source, request)
            return await self._receive(source, request, came_ms, verified=True)
        finally:
            self._held.release(source.name, size)

    async def _receive(self, source: Source, request: Request, came_ms: int, verified: bool = False) -> Answer:
        now_ms = self._clock.now_ms()
        waits = verified
        if not self._queue.acquire_nowait(source.name, came_ms):
            await self._wait_for_turn(source)
            now_ms, waits = self._clock.now_ms(), True
        try:
            prepared = self._prepare(source, request, now_ms, verified)
            if prepared is None:
                waits = True
                prepared = await self._prepare_apart(source, request, now_ms, came_ms)
            if isinstance(prepared, tuple):
                item, read = prepared
                patience_s = self._left_s(source, came_ms) if waits else source.answer_within_s
                return self._answered(source, await self._keep(source, item, patience_s), read)
        finally:
            self._queue.release(source.name)
        if isinstance(prepared, Answer):
            return prepared
        # Over the rate: it is held back for a moment, but not in the way of those that are within it.
        raise await self._pressure.refused(source, prepared)

    def _left_s(self, source: Source, came_ms: int) -> float:
        """For how long the sender still waits for its answer."""
        return source.answer_within_s - (self._clock.monotonic_ms() - came_ms) / 1000

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
        came_ms = self._clock.monotonic_ms()
        here = self._reads_here(source, request)
        read = self._read(source, request) if here else await self._read_apart(source, request, came_ms)
        item = self._accepted(source, request, self._clock.now_ms(), *read, Origin.PUBLISH)
        return await self._keep(source, item, self._left_s(source, came_ms))

    async def _wait_for_turn(self, source: Source) -> None:
        try:
            await self._queue.acquire(source.name, source.answer_within_s / 2)
        except TimeoutError:
            raise self._pressure.crowded(source) from None

    def _prepare(
        self, source: Source, request: Request, now_ms: int, verified: bool
    ) -> Prepared | Answer | float | None:
        """Verify and read, or answer a handshake. None: it is proven, and too much to be read here; a number: for so
        many seconds the source is over its rate."""
        if not verified:
            answer = source.handshake(request, now_ms)
            if answer is not None:
                return answer
            source.verify(request, now_ms)
        if source.rate_per_s is not None:
            over_s = self._pressure.over_rate_s(source, self._clock.monotonic_ms())
            if over_s:
                return over_s
        if not self._reads_here(source, request):
            return None
        try:
            read = self._read(source, request)
        except MalformedError as error:
            return self._quarantined(source, request, now_ms, str(error)), error
        return self._accepted(source, request, now_ms, *read), read[0]

    def _reads_here(self, source: Source, request: Request) -> bool:
        return self._reader is None or source.is_light(request)

    def _read(self, source: Source, request: Request) -> Read:
        reading = source.read(request)
        return reading, self._router.destinations(source.name, reading, request.headers)

    async def _verify_apart(self, source: Source, request: Request) -> None:
        """Have a large body hashed in a thread: hashing lets go of the interpreter."""
        try:
            async with self._verifying.turn(source.name, source.answer_within_s / 2):
                await asyncio.to_thread(source.verify, request, self._clock.now_ms())
        except TimeoutError:
            raise self._pressure.crowded(source) from None

    async def _prepare_apart(self, source: Source, request: Request, now_ms: int, came_ms: int) -> Prepared:
        try:
            read = await self._read_apart(source, request, came_ms)
        except MalformedError as error:
            return self._quarantined(source, request, now_ms, str(error)), error
        return self._accepted(source, request, now_ms, *read), read[0]

    async def _read_apart(self, source: Source, request: Request, came_ms: int) -> Read:
        """Have a large or intricate body read by the reader."""
        assert self._reader is not None
        try:
            async with self._reading.turn(source.name, self._left_s(source, came_ms) / 2):
                return await self._reader.read(source.name, request, self._left_s(source, came_ms) / 2)
        except TimeoutError:
            raise self._pressure.crowded(source) from None

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

    def _keep(self, source: Source, item: Append, patience_s: float) -> Coroutine[Any, Any, Receipt]:
        if len(item.event.body) <= COMMITTED_TOGETHER_BYTES:
            return self._commit(source, item, patience_s)
        return self._commit_apart(source, item, patience_s)

    async def _commit_apart(self, source: Source, item: Append, patience_s: float) -> Receipt:
        """A large body, one at a time."""
        began_ms = self._clock.monotonic_ms()
        try:
            async with self._committing.turn(source.name, patience_s / 2):
                return await self._commit(source, item, patience_s - (self._clock.monotonic_ms() - began_ms) / 1000)
        except TimeoutError:
            raise self._pressure.crowded(source) from None

    async def _commit(self, source: Source, item: Append, patience_s: float) -> Receipt:
        if not self.accepting:
            raise self._pressure.stopping(source)
        try:
            receipt = await self._appends.enqueue(item, source.name, patience_s, item.in_turn)
        except TimeoutError:
            # It may still be committed; then the sender's next try is answered as a duplicate.
            log.debug("store_slow", source=item.event.source, event_id=item.event.id, after_s=patience_s)
            message = "the store did not confirm the event in time; send it again"
            raise self._pressure.store_failed(source, message) from None
        except StoreUnavailableError as error:
            log.debug("store_unavailable", source=item.event.source, event_id=item.event.id, error=str(error))
            raise self._pressure.store_failed(source, "the event could not be stored; send it again") from None
        self._pressure.store_works()
        return receipt

    def _accepted(
        self,
        source: Source,
        request: Request,
        now_ms: int,
        reading: Reading,
        destinations: Mapping[str, Target],
        origin: Origin = Origin.WEBHOOK,
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
        deliveries = initial_deliveries(event, destinations, lambda: self._ids.make(now_ms))
        return Append(event, deliveries, now_ms + source.dedup_window_ms)

    def _quarantined(self, source: Source, request: Request, now_ms: int, why: str) -> Append:
        headers = request.headers.blanked(source.credential_headers, NOT_KEPT)
        event = Event(self._ids.make(now_ms), source.name, now_ms, request.body, headers)
        return Append(event, (quarantine_delivery(event, why, self._ids.make(now_ms)),))
