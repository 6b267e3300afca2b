"""Requests that were refused: counted, shown as samples, held apart."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from longstop.model.listing import (
    Listing,
    Page,
)
from longstop.model.rejection import HeldCount, HeldRequest, HoldSettings, Rejection, RejectionCount


class Rejections(Protocol):
    """What was refused, and what is held until somebody releases it."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """Add to the counts of refused requests, and keep samples of them: of each source the last SAMPLES_KEPT.

        A count is added to what is kept of its source and reason; the times become the first and the last of all.
        """

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """One page of a source's samples; UNKNOWN has those of names that no source has."""

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """How many requests were refused, by source and reason."""

    async def forget_rejections(self, before_ms: int) -> int:
        """Drop samples from before a time, and counts whose last is from before it; how many samples there were."""

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """Keep requests apart; for each, in order, whether there was room for it. `limits`: by source.

        There is none where a source's requests or bytes would be over its limit, or those of one sender over its
        share of them. What is kept already is not given up for what is new.
        """

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """One page of what is held of a source."""

    async def held_counts(self) -> Sequence[HeldCount]:
        """What is held, by source; none of a source of which nothing is."""

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """Let go of held requests; how many of them there were."""

    async def forget_held(self, source: str, before_ms: int) -> int:
        """Drop what was received before a time; how many there were."""
