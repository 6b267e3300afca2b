"""Refused requests in memory: counts, samples, and what is held apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from longstop.model.listing import Listing, Page
from longstop.model.rejection import (
    SAMPLES_KEPT,
    HeldCount,
    HeldRequest,
    HoldRoom,
    HoldSettings,
    Rejection,
    RejectionCount,
)
from longstop.stores.memory.paging import page_of


class MemoryRejections:
    """The part of the store that keeps what was refused."""

    def __init__(self) -> None:
        super().__init__()
        self._refused: dict[tuple[str, str], RejectionCount] = {}
        self._samples: dict[str, dict[str, Rejection]] = {}
        """Source to id to sample."""
        self._apart: dict[str, dict[str, HeldRequest]] = {}
        """Source to id to request."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """Add to the counts, and keep the last samples."""
        for each in counts:
            key = (each.source, each.reason.value)
            kept = self._refused.get(key)
            self._refused[key] = _sum(kept, each) if kept is not None else each
        for sample in samples:
            kept_samples = self._samples.setdefault(sample.source, {})
            kept_samples[sample.id] = sample
            for id_ in sorted(kept_samples)[:-SAMPLES_KEPT]:
                del kept_samples[id_]

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """One page of a source's samples."""
        samples = self._samples.get(source, {})
        return page_of(samples, page)

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """How many there were."""
        return [self._refused[key] for key in sorted(self._refused)]

    async def forget_rejections(self, before_ms: int) -> int:
        """Drop what is old."""
        self._refused = {key: each for key, each in self._refused.items() if each.last_at_ms >= before_ms}
        before = sum(map(len, self._samples.values()))
        for source, samples in self._samples.items():
            self._samples[source] = {id_: each for id_, each in samples.items() if each.at_ms >= before_ms}
        return before - sum(map(len, self._samples.values()))

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """Keep what there is room for."""
        sources = {each.source for each in requests}
        rooms = {source: HoldRoom(limits[source], self._held_by_sender(source)) for source in sources}
        taken = [rooms[each.source].take(each.sender, each.size) for each in requests]
        for each, has_room in zip(requests, taken, strict=True):
            if has_room:
                self._apart.setdefault(each.source, {})[each.id] = each
        return taken

    def _held_by_sender(self, source: str) -> Mapping[str, tuple[int, int]]:
        of_sender: dict[str, tuple[int, int]] = {}
        for each in self._apart.get(source, {}).values():
            requests, size = of_sender.get(each.sender, (0, 0))
            of_sender[each.sender] = (requests + 1, size + each.size)
        return of_sender

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """One page of what is held."""
        held = self._apart.get(source, {})
        return page_of(held, page)

    async def held_counts(self) -> Sequence[HeldCount]:
        """What is held, by source."""
        return [_count(source, list(held.values())) for source, held in sorted(self._apart.items()) if held]

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """Let go of them."""
        held = self._apart.get(source, {})
        return sum(held.pop(id_, None) is not None for id_ in ids)

    async def forget_held(self, source: str, before_ms: int) -> int:
        """Drop what is old."""
        held = self._apart.get(source, {})
        return await self.drop_held(source, [id_ for id_, each in held.items() if each.received_at_ms < before_ms])


def _sum(kept: RejectionCount, more: RejectionCount) -> RejectionCount:
    return replace(
        kept,
        count=kept.count + more.count,
        first_at_ms=min(kept.first_at_ms, more.first_at_ms),
        last_at_ms=max(kept.last_at_ms, more.last_at_ms),
    )


def _count(source: str, held: list[HeldRequest]) -> HeldCount:
    return HeldCount(source, len(held), sum(each.size for each in held), min(each.received_at_ms for each in held))
