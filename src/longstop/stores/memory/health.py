"""What there is to warn of: nothing."""

from longstop.model.store_health import StoreHealth


class MemoryHealth:
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:  # noqa: ARG002
        """Nothing."""
        return StoreHealth()
