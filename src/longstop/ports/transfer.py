"""What it takes to move everything from one store to another."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.dedup import DedupKey
from longstop.model.retention import WholeEvent


class Transfer(Protocol):
    """Putting in what stood elsewhere, as it stood. What else there is to move has its own ports already.

    All of it may be tried again: what is there is known by its id, and stays as it is.
    """

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """Put events in with all that belongs to them, as they stood elsewhere: deliveries in whatever state, attempts,
        actions, how it came to be (`made_by`; the `edits` of an event are its children's). Durable on return.

        For each, in order, whether it was put in: one whose id is kept already stays as it is, with all of its own.
        Each is put in whole or not at all; so many at once need not be. Where it says until when it holds its dedup
        key (`dedup_until_ms`), it takes the key as `keep_dedup_keys` does. What is in no order may be leased when it
        is due, and what has a lane stands in it by its id, behind what is dead there.
        """

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """The next dedup keys, by digest, whether their window is over or not; None: the first. Fewer than `limit`
        are the last."""

    async def keep_dedup_keys(self, keys: Sequence[DedupKey]) -> None:
        """Keep dedup keys, those of forgotten events too. One that is kept already stays, unless its window ends
        before the other's. Durable on return."""
