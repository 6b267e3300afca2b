"""What has been told of what is wrong: ports.AlertBooks over PostgreSQL."""

from longstop.model.alert_book import AlertBook
from longstop.stores.postgres import alert_book
from longstop.stores.postgres.database import PostgresDatabase


class PostgresAlertBooks(PostgresDatabase):
    """See ports.AlertBooks."""

    async def alert_book(self) -> AlertBook:
        """See ports.AlertBooks."""
        return await self.view(alert_book.book)

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """See ports.AlertBooks."""
        return await self.transact(lambda connection: alert_book.keep(connection, book))
