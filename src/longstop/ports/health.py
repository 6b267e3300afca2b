"""What the backend says of itself."""

from typing import Protocol

from longstop.model.store_health import StoreHealth


class Health(Protocol):
    """What the people who run a store should know of it, although it works."""

    async def health(self, now_ms: int) -> StoreHealth:
        """What to warn of; nothing where all is as it should be.

        Asked every few seconds, so it costs next to nothing, whatever is kept. Its times are by the clock of who asks.
        """
