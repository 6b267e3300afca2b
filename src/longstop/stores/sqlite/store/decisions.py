"""What people decide: ports.Decisions over an SQLite file."""

from collections.abc import Sequence

from longstop.model.action import Action, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.stores.sqlite import (
    edits,
    inbox,
    lanes,
    ledger,
)
from longstop.stores.sqlite.database import Database


class SqliteDecisions(Database):
    """See ports.Decisions."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Decisions."""
        results = await self._transact(lambda connection: inbox.act(connection, actions))
        if any(each and lanes.may_let_go(each) for each in results):
            self._wake()
        return results

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """See ports.Decisions."""
        await self._transact(lambda connection: edits.replace(connection, append, edit, delivery_ids))
        self._wake()

    async def pause(self, pause: Pause) -> bool:
        """See ports.Decisions."""
        return await self._transact(lambda connection: ledger.pause(connection, pause))

    async def resume(self, destination: str) -> bool:
        """See ports.Decisions."""
        ended = await self._transact(lambda connection: ledger.resume(connection, destination))
        if ended:
            self._wake()
        return ended

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Decisions."""
        return await self._reader.call(ledger.pauses)
