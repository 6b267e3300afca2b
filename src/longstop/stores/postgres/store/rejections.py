"""What was refused: ports.Rejections over PostgreSQL."""

from collections.abc import Mapping, Sequence

from longstop.model.listing import (
    Listing,
    Page,
)
from longstop.model.rejection import HeldCount, HeldRequest, HoldSettings, Rejection, RejectionCount
from longstop.stores.postgres import rejections
from longstop.stores.postgres.database import PostgresDatabase


class PostgresRejections(PostgresDatabase):
    """See ports.Rejections."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """See ports.Rejections."""
        await self.transact(lambda connection: rejections.record(connection, counts, samples))

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """See ports.Rejections."""
        return await self.view(lambda connection: rejections.rejections(connection, source, page))

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """See ports.Rejections."""
        return await self.view(rejections.counts)

    async def forget_rejections(self, before_ms: int) -> int:
        """See ports.Rejections."""
        return await self.transact(lambda connection: rejections.forget(connection, before_ms))

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """See ports.Rejections."""
        return await self.transact(lambda connection: rejections.hold(connection, requests, limits))

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """See ports.Rejections."""
        return await self.view(lambda connection: rejections.held_requests(connection, source, page))

    async def held_counts(self) -> Sequence[HeldCount]:
        """See ports.Rejections."""
        return await self.view(rejections.held_counts)

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """See ports.Rejections."""
        return await self.transact(lambda connection: rejections.drop_held(connection, source, ids))

    async def forget_held(self, source: str, before_ms: int) -> int:
        """See ports.Rejections."""
        return await self.transact(lambda connection: rejections.forget_held(connection, source, before_ms))
