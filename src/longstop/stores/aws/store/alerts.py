"""What people were told: ports.AlertBooks over DynamoDB."""

from longstop.model.alert_book import AlertBook
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.records import AwsRecords, compressed, raw_of
from longstop.stores.aws.units import View


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

        async def unit(view: View[bool]) -> bool:
            kept = await view.get(keys.ALERT_BOOK)
            if (0 if kept is None else kept["version"]) != book.version:
                return False
            await view.put(item)
            return True

        return await self._run(unit)


def _book(item: Item | None) -> AlertBook:
    return AlertBook() if item is None else AlertBook.loaded(int(item["version"]), raw_of(item).decode())
