"""Releasing: what was held because it was not verified is verified again, under the secrets of today, and accepted.

Signed times are judged by when a request was received. What passes takes the way of every event: read, kept once for
its dedup key, routed; under the id and the time that it was given when it came. What does not stays held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from longstop.model.append import Append, initial_deliveries, quarantine_delivery
from longstop.model.audit import AuditAction
from longstop.model.credentials import NOT_KEPT
from longstop.model.diagnosis import why_not_verified
from longstop.model.errors import AddressError, IngestError, MalformedError, VerificationError
from longstop.model.event import Event, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.fingerprint import with_credential
from longstop.model.ids import IdFactory
from longstop.model.listing import Page
from longstop.model.rejection import HeldRequest
from longstop.model.routing import Router
from longstop.model.settings import SourceSettings
from longstop.operating.audit import Auditor
from longstop.ports import Clock, Source, Store

AT_ONCE = 100


@dataclass
class Released:
    """What became of the held requests of one source."""

    accepted: int = 0
    duplicates: int = 0
    """Their dedup key was known: the sender had sent them again."""
    quarantined: int = 0
    """Proven, and unreadable: kept as such."""
    answered: int = 0
    """They asked for an answer (a challenge) and carried no event; nobody waits for it any more."""
    left: int = 0
    """Not proven under the secrets of today either; they stay held."""
    problems: tuple[str, ...] = ()
    """What is wrong with the first of those that are left."""


class Release:
    """Releases what is held of one source. settings: those that the source was built from."""

    def __init__(
        self,
        store: Store,
        settings: SourceSettings,
        source: Source,
        router: Router,
        clock: Clock,
        ids: IdFactory,
        auditor: Auditor,
    ) -> None:
        self._store = store
        self._settings = settings
        self._source = source
        self._router = router
        self._clock = clock
        self._ids = ids
        self._auditor = auditor

    async def run(self, dry_run: bool = False) -> Released:
        """Release what passes, the oldest first; with `dry_run` only tell. Raises StoreUnavailableError.

        Broken off at any point, it may be run again: what was accepted is known by its id.
        """
        if not dry_run:
            await self._auditor.note(AuditAction.SOURCE_RELEASE, "source", self._source.name)
        released = Released()
        after: str | None = None
        while True:
            page = await self._store.held_requests(self._source.name, Page(AT_ONCE, after, newest_first=False))
            await self._page(page.rows, released, dry_run)
            after = page.next_after
            if after is None:
                return released

    async def _page(self, held: Sequence[HeldRequest], released: Released, dry_run: bool) -> None:
        appends, done = [], []
        for each in held:
            if await self._store.event(each.id) is not None:
                # Accepted by a run that ended before it could let go of it.
                released.accepted += 1
                done.append(each.id)
                continue
            judged = self._judge(each, released)
            if isinstance(judged, Append):
                appends.append(judged)
            if judged is not None:
                done.append(each.id)
        if dry_run:
            self._count(released, appends, [ReceiptStatus.ACCEPTED] * len(appends))
            return
        if appends:
            receipts = await self._store.append(appends)
            self._count(released, appends, [each.status for each in receipts])
        # Only now: what is let go was accepted, or is no event.
        await self._store.drop_held(self._source.name, done)

    def _judge(self, held: HeldRequest, released: Released) -> Append | bool | None:
        """What is to be kept of it; True where there is nothing to keep; None where it is not proven."""
        headers = with_credential(self._settings, held.request.headers, held.fingerprint)
        request = replace(held.request, headers=headers)
        try:
            if self._source.handshake(request, held.received_at_ms) is not None:
                released.answered += 1
                return True
            self._source.verify(request, held.received_at_ms)
            return self._readable(held, request)
        except MalformedError as error:
            event = self._event(held)
            return Append(event, (quarantine_delivery(event, str(error), self._ids.make(held.received_at_ms)),))
        except IngestError:
            if released.left == 0:
                released.problems = tuple(self._why_not(request, held.received_at_ms))
            released.left += 1
            return None

    def _readable(self, held: HeldRequest, request: Request) -> Append:
        reading = self._source.read(request)
        event = replace(
            self._event(held),
            type=reading.type,
            key=reading.key,
            dedup=reading.dedup,
            occurred_at_ms=reading.occurred_at_ms,
        )
        now_ms = self._clock.now_ms()
        destinations = self._router.destinations(event.source, reading, event.headers)
        # Ids of then: in its lane it goes before what came after it.
        made = initial_deliveries(event, destinations, lambda: self._ids.make(event.received_at_ms))
        # Its budget begins now: it has not been tried while it was held.
        deliveries = tuple(replace(each, round_at_ms=now_ms) for each in made)
        return Append(event, deliveries, now_ms + self._source.dedup_window_ms)

    def _event(self, held: HeldRequest) -> Event:
        headers = held.request.headers.blanked(self._source.credential_headers, NOT_KEPT)
        return Event(held.id, held.source, held.received_at_ms, held.request.body, headers)

    def _why_not(self, request: Request, at_ms: int) -> list[str]:
        return why_not_verified(self._settings, partial(_verifies, self._source), request, at_ms)

    def _count(self, released: Released, appends: Sequence[Append], statuses: Sequence[ReceiptStatus]) -> None:
        for append, status in zip(appends, statuses, strict=True):
            if status is ReceiptStatus.DUPLICATE:
                released.duplicates += 1
            elif any(each.destination == "" for each in append.deliveries):
                released.quarantined += 1
            else:
                released.accepted += 1


def _verifies(source: Source, request: Request, now_ms: int) -> bool:
    try:
        source.verify(request, now_ms)
    except VerificationError:
        return False
    except AddressError:
        return True
    return True
