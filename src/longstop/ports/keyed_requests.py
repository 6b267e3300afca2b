"""Requests with an Idempotency-Key, and what they were answered."""

from typing import Protocol

from longstop.model.keyed_request import KeptAnswer, KeyedRequest


class KeyedRequests(Protocol):
    """What was asked with which key."""

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """Keep a request as under way; None where that was done.

        Where one of its caller and key is kept that has not expired by `request.began_at_ms`, nothing is changed, and
        the answer is that one: of several at the same time, one alone is kept. Forgets some of what has expired.
        """

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """Keep what a request that is under way was answered. Nothing where another one has taken its key."""

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """Let go of a request that is under way, of which nothing was done; its key is free again."""
