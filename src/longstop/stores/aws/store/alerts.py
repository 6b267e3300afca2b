"""What people were told: ports.AlertBooks over DynamoDB."""

from longstop.model.alert_book import AlertBook
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.records import AwsRecords, compressed, raw_of


class AwsAlertBooks(AwsRecords):
    """See ports.AlertBooks."""

    async def alert_book(self) -> AlertBook:
        """See ports.AlertBooks."""
        return _book((await self.table.get([keys.ALERT_BOOK])).get(keys.ALERT_BOOK))

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """See ports.AlertBooks."""
        partition, order = keys.ALERT_BOOK
        item: Item = {"pk": partition, "sk": order, "version": book.version + 1}
        item["row"] = compressed(book.dumped().encode())

        def next_one(kept: Item | None) -> Item | None:
            return item if (0 if kept is None else kept["version"]) == book.version else None

        return await self._change(keys.ALERT_BOOK, next_one) is not None


def _book(item: Item | None) -> AlertBook:
    return AlertBook() if item is None else AlertBook.loaded(int(item["version"]), raw_of(item).decode())
