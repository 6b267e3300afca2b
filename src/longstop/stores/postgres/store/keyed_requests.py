"""Requests with an Idempotency-Key: ports.KeyedRequests over PostgreSQL."""

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.postgres import keyed_requests
from longstop.stores.postgres.database import PostgresDatabase


class PostgresKeyedRequests(PostgresDatabase):
    """See ports.KeyedRequests."""

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """See ports.KeyedRequests."""
        return await self.transact(lambda connection: keyed_requests.begin(connection, request))

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """See ports.KeyedRequests."""
        await self.transact(lambda connection: keyed_requests.answer(connection, request, answer))

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """See ports.KeyedRequests."""
        await self.transact(lambda connection: keyed_requests.drop(connection, request))
