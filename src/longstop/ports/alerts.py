"""What has been told of what is wrong."""

from typing import Protocol

from longstop.model.alert_book import AlertBook


class AlertBooks(Protocol):
    """One small document, changed by whoever knows its version."""

    async def alert_book(self) -> AlertBook:
        """The book as it is kept; an empty one of version 0 where none ever was."""

    async def keep_alert_book(self, book: AlertBook) -> bool:
        """Keep this book in the place of the one that has its `version`; what is kept has the next.

        False where the kept version is another: somebody was quicker, and nothing was changed.
        """
