"""Held requests: what is not verified, and may be the sender's all the same, is kept apart in the background.

It was answered 401 like any other. What is held bears the proof that its source expects, right or wrong, and comes from
where the source's requests may come from. There is room for so much of each source, of which one address takes half at
most. When it is full, what is new is not kept: to give up the oldest would let a stranger push the sender's out.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network

import structlog

from longstop.model.addresses import is_within, sender_of
from longstop.model.credentials import NOT_KEPT
from longstop.model.exchange import Request
from longstop.model.fingerprint import credential, fingerprint
from longstop.model.ids import IdFactory
from longstop.model.rejection import HeldRequest
from longstop.model.settings import SourceSettings
from longstop.ports import Clock, Ledger, Source

log = structlog.get_logger("longstop.accepting.held_requests")

WAITING_MAX = 400
"""Requests of all sources that wait to be kept; of one sender half of them."""
WAITING_BYTES_MAX = 32 * 1024 * 1024
BATCH_BYTES = 1024 * 1024
"""So much is given to the store at a time, or one request: events are appended between."""
FINGERPRINTS_MAX = 20
"""So many credentials that were not seen before are hashed at a time, which takes some milliseconds each; of one
sender half of them."""
FINGERPRINTS_KEPT = 256
TELL_EVERY_MS = 60_000


@dataclass(slots=True)
class _Tally:
    """Of one source: what is held, and what found no room, since the log was told."""

    held: int = 0
    not_held: int = 0
    told_at_ms: int | None = None


class HeldRequests:
    """What waits to be kept apart.

    settings, sources: those that are configured, by name. salt: random bytes, the same for the life of a process.
    """

    def __init__(
        self,
        settings: Mapping[str, SourceSettings],
        sources: Mapping[str, Source],
        ledger: Ledger,
        clock: Clock,
        ids: IdFactory,
        salt: bytes,
    ) -> None:
        self._settings = {name: each for name, each in settings.items() if each.on_unverified == "hold"}
        self._sources = sources
        self._ledger = ledger
        self._clock = clock
        self._ids = ids
        self._salt = salt
        self._limits = {name: each.hold for name, each in self._settings.items()}
        self._networks = {name: [ip_network(each) for each in s.allow] for name, s in self._settings.items()}
        self._secrets = tuple(secret for each in settings.values() for secret in each.secrets if secret)
        self._waiting: list[HeldRequest] = []
        self._waiting_of: Counter[str] = Counter()
        """How many of each sender."""
        self._waiting_bytes = 0
        self._fingerprints: dict[bytes, bytes] = {}
        self._tallies: dict[str, _Tally] = {name: _Tally() for name in self._settings}

    def offer(self, name: str, request: Request, now_ms: int) -> None:
        """Have a request of this source kept apart, if its source wants that and there is room; returns at once."""
        if name not in self._settings or request.method != "POST":
            return
        sender, size = sender_of(request.client), len(request.body)
        has_room = len(self._waiting) < WAITING_MAX and self._waiting_bytes + size <= WAITING_BYTES_MAX
        if not has_room or self._waiting_of[sender] >= WAITING_MAX // 2:
            self._tallies[name].not_held += 1
            return
        self._waiting.append(HeldRequest(self._ids.make(now_ms), name, now_ms, request, sender))
        self._waiting_of[sender] += 1
        self._waiting_bytes += size

    @property
    def are_waiting(self) -> bool:
        """Whether any are to be kept."""
        return bool(self._waiting)

    async def flush(self) -> None:
        """Keep what waits, as far as there is room. Where the store cannot do it now, it is tried again later.

        Raises StoreUnavailableError.
        """
        waiting = list(self._waiting)
        if waiting:
            ready = await self._fit_to_be_kept(waiting)
            kept: list[HeldRequest] = []
            for batch in _batches(ready):
                taken = await self._ledger.hold(batch, self._limits)
                kept += [each for each, has_room in zip(batch, taken, strict=True) if has_room]
            self._forget_waiting(len(waiting))
            self._count(waiting, kept)
        self._tell()

    def give_up(self) -> None:
        """Let what waits go, and count it as not held."""
        waiting = list(self._waiting)
        self._forget_waiting(len(waiting))
        self._count(waiting, [])

    async def forget(self) -> None:
        """Drop what is too old. Raises StoreUnavailableError."""
        for name, limit in self._limits.items():
            forgotten = await self._ledger.forget_held(name, self._clock.now_ms() - limit.max_age_ms)
            if forgotten:
                log.warning("held_forgotten", source=name, requests=forgotten)

    def _forget_waiting(self, number: int) -> None:
        """The first so many wait no longer; what came while they were kept does."""
        self._waiting = self._waiting[number:]
        self._waiting_of = Counter(each.sender for each in self._waiting)
        self._waiting_bytes = sum(len(each.request.body) for each in self._waiting)

    # -- what may be kept ----------------------------------------------------------------------------

    async def _fit_to_be_kept(self, waiting: list[HeldRequest]) -> list[HeldRequest]:
        """Those from where requests may come from, without credentials; one that it bore is kept as a fingerprint."""
        allowed = [each for each in waiting if self._may_be_held(each)]
        shown = {each.id: credential(self._settings[each.source], each.request.headers) for each in allowed}
        await self._take_fingerprints(allowed, shown)
        fit = []
        for each in allowed:
            bore = shown[each.id]
            if bore is None:
                fit.append(self._bare(each, b""))
            elif bore in self._fingerprints:
                fit.append(self._bare(each, self._fingerprints[bore]))
        return fit

    def _may_be_held(self, held: HeldRequest) -> bool:
        """Whether it comes from where it may, and its URL, which may be needed to verify it, shows no secret."""
        networks, url = self._networks[held.source], f"{held.request.path}?{held.request.query}"
        allowed = not networks or is_within(held.request.client, networks)
        return allowed and not any(secret in url for secret in self._secrets)

    async def _take_fingerprints(self, held: list[HeldRequest], shown: Mapping[str, bytes | None]) -> None:
        """Hash the credentials that are not known yet, in a thread, and no more of them than it has time for."""
        if len(self._fingerprints) > FINGERPRINTS_KEPT:
            self._fingerprints.clear()
        new: dict[bytes, str] = {}
        of_sender: Counter[str] = Counter()
        for each in held:
            bore = shown[each.id]
            if bore is None or bore in self._fingerprints or bore in new:
                continue
            if len(new) < FINGERPRINTS_MAX and of_sender[each.sender] < FINGERPRINTS_MAX // 2:
                new[bore] = each.sender
                of_sender[each.sender] += 1
        for bore in new:
            self._fingerprints[bore] = await asyncio.to_thread(fingerprint, bore, self._salt)

    def _bare(self, held: HeldRequest, of_credential: bytes) -> HeldRequest:
        request, settings = held.request, self._settings[held.source]
        headers = request.headers.blanked(self._sources[held.source].credential_headers, NOT_KEPT)
        # Of the senders there are only those that sign their URL are verified by the query, and it may hold a secret.
        query = request.query if settings.public_url is not None else ""
        # Half of a surrogate pair is no text that a store can keep.
        path = request.path.encode("utf-8", "replace").decode()
        bare = Request(headers, request.body, request.method, request.client, path, query)
        return replace(held, request=bare, fingerprint=of_credential)

    # -- telling -------------------------------------------------------------------------------------

    def _count(self, waited: list[HeldRequest], kept: list[HeldRequest]) -> None:
        held = Counter(each.source for each in kept)
        for name, number in Counter(each.source for each in waited).items():
            self._tallies[name].held += held[name]
            self._tallies[name].not_held += number - held[name]

    def _tell(self) -> None:
        now_ms = self._clock.now_ms()
        for name, tally in self._tallies.items():
            recently = tally.told_at_ms is not None and 0 <= now_ms - tally.told_at_ms < TELL_EVERY_MS
            if recently or not (tally.held or tally.not_held):
                continue
            if tally.held:
                log.warning("held", source=name, requests=tally.held)
            if tally.not_held:
                log.error("not_held", source=name, requests=tally.not_held)
            self._tallies[name] = _Tally(told_at_ms=now_ms)


def _batches(held: list[HeldRequest]) -> Iterator[list[HeldRequest]]:
    batch: list[HeldRequest] = []
    size = 0
    for each in held:
        if batch and size + each.size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += each.size
    if batch:
        yield batch
