"""Requests with an Idempotency-Key."""

from dataclasses import replace

from longstop.model.keyed_request import KeptAnswer, KeyedRequest


class MemoryKeyedRequests:
    """What was asked with which key."""

    def __init__(self) -> None:
        super().__init__()
        self._keyed: dict[tuple[str, str], KeyedRequest] = {}

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """Keep a request as under way, unless its key is taken."""
        now_ms = request.began_at_ms
        self._keyed = {place: each for place, each in self._keyed.items() if each.expires_at_ms > now_ms}
        kept = self._keyed.get((request.by, request.key))
        if kept is None:
            self._keyed[request.by, request.key] = request
        return kept

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """Keep what a request was answered."""
        place = (request.by, request.key)
        if self._keyed.get(place) == request:
            self._keyed[place] = replace(request, answer=answer)

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """Let go of a request of which nothing was done."""
        if self._keyed.get((request.by, request.key)) == request:
            del self._keyed[request.by, request.key]
