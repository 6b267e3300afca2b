"""What people were told: ports.AlertBooks over Redis."""

import json

from longstop.model.alert_book import AlertBook
from longstop.stores.redis.records import Change, RedisRecords


class RedisAlertBooks(RedisRecords):
    """See ports.AlertBooks."""

    async def alert_book(self) -> AlertBook:
        """See ports.AlertBooks."""
        return _book(await self._record("alerts", "book"))

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """See ports.AlertBooks."""
        kept = await self._record("alerts", "book")
        if _book(kept).version != book.version:
            return False
        record = json.dumps([book.version + 1, book.dumped()]).encode()
        return await self._change(Change("alerts", "book", record, kept))


def _book(raw: bytes | None) -> AlertBook:
    if raw is None:
        return AlertBook()
    version, text = json.loads(raw)
    return AlertBook.loaded(version, text)
