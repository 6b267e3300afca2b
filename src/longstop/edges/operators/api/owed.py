"""What the store could not be told of a request with an Idempotency-Key, because it was not there: told as soon as it
is, so that the key does not stay taken for its day.

A key that frees itself after a while would have what was done done again. So it is this process that remembers: it
knows whether anything was done. One that is killed meanwhile does not, and the key stays taken.
"""

from longstop.model.errors import StoreUnavailableError
from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.ports import KeyedRequests

OWED_MAX = 100
"""Of so many it is remembered; the oldest give way."""


class Owed:
    """Tells the store what requests were answered, now or later."""

    def __init__(self, store: KeyedRequests) -> None:
        self._store = store
        self._owed: dict[KeyedRequest, KeptAnswer | None] = {}

    async def tell(self, keyed: KeyedRequest, given: KeptAnswer | None) -> None:
        """What a request that is under way was answered; None: nothing was done, and its key is free."""
        try:
            await self._told(keyed, given)
        except StoreUnavailableError:
            if len(self._owed) >= OWED_MAX:
                del self._owed[next(iter(self._owed))]
            self._owed[keyed] = given

    async def catch_up(self) -> None:
        """Tell what is owed. Raises StoreUnavailableError: the store is still not there."""
        for keyed, given in tuple(self._owed.items()):
            await self._told(keyed, given)
            self._owed.pop(keyed, None)

    async def _told(self, keyed: KeyedRequest, given: KeptAnswer | None) -> None:
        if given is None:
            await self._store.drop_keyed(keyed)
        else:
            await self._store.answer_keyed(keyed, given)
