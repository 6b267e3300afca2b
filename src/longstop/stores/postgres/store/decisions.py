"""What people decide: ports.Decisions over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.action import Action, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.stores.postgres import decisions, lanes
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.rows import each


class PostgresDecisions(PostgresDatabase):
    """See ports.Decisions."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Decisions."""
        if not actions:
            return []
        results = await self.transact(lambda connection: decisions.act(connection, actions))
        if any(each and lanes.may_let_go(each) for each in results):
            self.floors.forget()
            self._arrivals.arrived()
        return results

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """See ports.Decisions."""
        await self.transact(lambda connection: decisions.replace(connection, append, edit, delivery_ids))
        self.floors.forget()
        self._arrivals.arrived()

    async def pause(self, pause: Pause) -> bool:
        """See ports.Decisions."""
        (row,) = await self.rows(decisions.PAUSE, pause.destination, pause.at_ms, pause.by, pause.why)
        return bool(row["new"])

    async def resume(self, destination: str) -> bool:
        """See ports.Decisions."""
        ended = bool(await self.rows(decisions.RESUME, destination))
        if ended:
            self.floors.forget()
            self._arrivals.arrived()
        return ended

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Decisions."""
        return list(each(await self.look(decisions.PAUSES), decisions.to_pause))
