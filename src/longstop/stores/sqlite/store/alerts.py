"""What has been told of what is wrong: ports.AlertBooks over an SQLite file."""

from longstop.model.alert_book import AlertBook
from longstop.stores.sqlite import alert_book
from longstop.stores.sqlite.database import Database


class SqliteAlertBooks(Database):
    """See ports.AlertBooks."""

    async def alert_book(self) -> AlertBook:
        """See ports.AlertBooks."""
        return await self._reader.call(alert_book.book)

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """See ports.AlertBooks."""
        return await self._transact(lambda connection: alert_book.keep(connection, book))
