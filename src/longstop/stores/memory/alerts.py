"""What has been told of what is wrong."""

from longstop.model.alert_book import AlertBook


class MemoryAlertBooks:
    """The book, kept as text, as every other store does."""

    def __init__(self) -> None:
        super().__init__()
        self._book_version = 0
        self._book = AlertBook().dumped()

    async def alert_book(self) -> AlertBook:
        """The book as it is kept."""
        return AlertBook.loaded(self._book_version, self._book)

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """Keep this book in the place of the one that has its version."""
        if book.version != self._book_version:
            return False
        self._book, self._book_version = book.dumped(), book.version + 1
        return True
