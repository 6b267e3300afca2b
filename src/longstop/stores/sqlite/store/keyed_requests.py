"""Requests with an Idempotency-Key: ports.KeyedRequests over an SQLite file."""

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.sqlite import keyed_requests
from longstop.stores.sqlite.database import Database


class SqliteKeyedRequests(Database):
    """See ports.KeyedRequests."""

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """See ports.KeyedRequests."""
        return await self._transact(lambda connection: keyed_requests.begin(connection, request))

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """See ports.KeyedRequests."""
        await self._transact(lambda connection: keyed_requests.answer(connection, request, answer))

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """See ports.KeyedRequests."""
        await self._transact(lambda connection: keyed_requests.drop(connection, request))
