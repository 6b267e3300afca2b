"""The store as the operators' side has it: whoever lacks the scope for it is given everything with its fields hidden.

So hiding does not depend on each route remembering it. Bodies are the exception: to hide fields of one it has to be
parsed, which no listing should. `Bodies.shown` alone hands them out, and a test sees to it that no route takes them
from anywhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from longstop.model.alert_book import AlertBook
from longstop.model.breaker import Circuit
from longstop.model.caller import Caller
from longstop.model.delivery import Attempt, Delivery
from longstop.model.event import Event
from longstop.model.exchange import Request
from longstop.model.job import Job, JobChange, JobState
from longstop.model.listing import DeliveryFilter, EventFilter, History, KeptEvent, Listing, Page
from longstop.model.recent import Recent
from longstop.model.rejection import Rejection
from longstop.model.retention import ArchivedEvent, WholeEvent
from longstop.operating.masking import HIDDEN, Masking
from longstop.ports import Archive, Store

Current = Callable[[], Caller | None]
"""Who asks at this moment; None where nobody in particular does, from whom all is hidden."""


def masked_store(store: Store, shown: "Shown") -> Store:
    """The store, as whoever asks may see it."""
    return cast("Store", _MaskedStore(store, shown)) if shown.masking.active else store


def masked_archive(archive: Archive | None, shown: "Shown") -> Archive | None:
    """The archive, as whoever asks may see it."""
    return None if archive is None else _MaskedArchive(archive, shown)


class Shown:
    """What becomes of each thing that is looked at, by whoever asks at this moment."""

    def __init__(self, masking: Masking, current: Current) -> None:
        self.masking = masking
        self._current = current

    @property
    def hides(self) -> bool:
        """Whether anything is hidden from whoever asks."""
        caller = self._current()
        return (caller is None and self.masking.active) or (caller is not None and self.masking.hides_from(caller))

    def kept(self, kept: KeptEvent) -> KeptEvent:
        """An event with its deliveries."""
        if not self.hides:
            return kept
        deliveries = tuple(map(self.delivery, kept.deliveries))
        return replace(kept, event=self.event(kept.event), deliveries=deliveries)

    def event(self, event: Event) -> Event:
        """An event; its body is what `Bodies` hands out."""
        if not self.hides:
            return event
        hidden: dict[str, Any] = {
            name: HIDDEN.encode() if name == "dedup" else HIDDEN
            for name in self.masking.columns(event.source)
            if getattr(event, name) is not None
        }
        hidden.setdefault("dedup", self.masking.dedup(event.dedup))
        return replace(event, headers=self.masking.headers(event.headers), **hidden)

    def delivery(self, delivery: Delivery) -> Delivery:
        """A delivery."""
        if not self.hides:
            return delivery
        columns = self.masking.columns(delivery.source) - {"dedup"}
        hidden: dict[str, Any] = {name: HIDDEN for name in columns if getattr(delivery, name) is not None}
        if "key" in hidden and delivery.lane is not None:
            # It is made of the key.
            hidden["lane"] = HIDDEN
        return replace(delivery, last_error=self.masking.error(delivery.last_error, delivery.last_status), **hidden)

    def attempt(self, attempt: Attempt) -> Attempt:
        """An attempt."""
        if not self.hides:
            return attempt
        answer = HIDDEN.encode() if attempt.answer else b""
        return replace(attempt, error=self.masking.error(attempt.error, attempt.status), answer=answer)

    def history(self, history: History) -> History:
        """What was done with a delivery."""
        return replace(history, attempts=tuple(map(self.attempt, history.attempts)))

    def job(self, job: Job) -> Job:
        """A job: what its filter looks for may be what is hidden."""
        if not self.hides:
            return job
        wanted, columns = job.wanted, self.masking.columns_of_any
        hidden: dict[str, Any] = {name: HIDDEN for name in ("type", "key") if getattr(wanted, name) and name in columns}
        contains = None if wanted.contains is None else HIDDEN.encode()
        shown = replace(wanted, contains=contains, error=self.masking.error(wanted.error), **hidden)
        return replace(job, wanted=shown)

    def book(self, book: AlertBook) -> AlertBook:
        """What is wrong now: of a circuit, it is told in the words of the destination."""
        if not self.hides:
            return book
        standing = {
            key: replace(each, why=self.masking.error(each.why) or "") if each.kind == "circuit" else each
            for key, each in book.standing.items()
        }
        return replace(book, standing=standing)

    def rejection(self, rejection: Rejection) -> Rejection:
        """A refused request."""
        if not self.hides:
            return rejection
        request: Request = rejection.request
        body = self.masking.masked(request.body, request.headers) if rejection.body_kept else b""
        shown = replace(request, headers=self.masking.headers(request.headers), body=body or HIDDEN.encode())
        return replace(rejection, request=shown)


class _MaskedStore:
    """What is read passes through here; all else goes to the store as it is."""

    def __init__(self, store: Store, shown: Shown) -> None:
        self._store = store
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def event(self, event_id: str) -> KeptEvent | None:
        kept = await self._store.event(event_id)
        return None if kept is None else self._shown.kept(kept)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        found = await self._store.delivery(delivery_id)
        return None if found is None else self._shown.delivery(found)

    async def ahead(self, delivery_id: str) -> Delivery | None:
        found = await self._store.ahead(delivery_id)
        return None if found is None else self._shown.delivery(found)

    async def history(self, delivery_id: str) -> History:
        return self._shown.history(await self._store.history(delivery_id))

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        self._expect_open(wanted)
        found = await self._store.find_events(wanted, page)
        return replace(found, rows=tuple(map(self._shown.kept, found.rows)))

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        self._expect_open(wanted)
        found = await self._store.find_deliveries(wanted, page)
        return replace(found, rows=tuple(map(self._shown.delivery, found.rows)))

    async def recent(self, since_ms: int, limit: int) -> Recent:
        found, shown = await self._store.recent(since_ms, limit), self._shown
        return Recent(
            tuple(map(shown.event, found.events)),
            tuple((shown.delivery(delivery), shown.attempt(attempt)) for delivery, attempt in found.attempts),
            tuple((shown.delivery(delivery), action) for delivery, action in found.actions),
        )

    async def circuits(self) -> Sequence[Circuit]:
        circuits = await self._store.circuits()
        if not self._shown.hides:
            return circuits
        return [replace(each, why=self._shown.masking.error(each.why) or "") for each in circuits]

    async def alert_book(self) -> AlertBook:
        return self._shown.book(await self._store.alert_book())

    async def job(self, job_id: str) -> Job | None:
        found = await self._store.job(job_id)
        return None if found is None else self._shown.job(found)

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        found = await self._store.find_jobs(state, page)
        return replace(found, rows=tuple(map(self._shown.job, found.rows)))

    async def change_job(self, change: JobChange) -> Job | None:
        changed = await self._store.change_job(change)
        return None if changed is None else self._shown.job(changed)

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        found = await self._store.rejections(source, page)
        return replace(found, rows=tuple(map(self._shown.rejection, found.rows)))

    def _expect_open(self, wanted: EventFilter | DeliveryFilter) -> None:
        if self._shown.hides:
            self._shown.masking.refuse_search(wanted)


class _MaskedArchive:
    """What has been archived, likewise."""

    def __init__(self, archive: Archive, shown: Shown) -> None:
        self._archive = archive
        self._shown = shown

    async def write(self, events: Sequence[WholeEvent]) -> None:
        await self._archive.write(events)

    async def close(self) -> None:
        await self._archive.close()

    async def find(self, id_: str) -> ArchivedEvent | None:
        found = await self._archive.find(id_)
        if found is None:
            return None
        histories = tuple(map(self._shown.history, found.whole.histories))
        return replace(found, whole=replace(found.whole, kept=self._shown.kept(found.whole.kept), histories=histories))
