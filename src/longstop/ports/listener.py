"""Who hears of what happens."""

from typing import Protocol

from longstop.model.alert import Alert
from longstop.model.breaker import CircuitChange


class CircuitListener(Protocol):
    """Hears of what happens to the circuits that this process opens and closes."""

    def circuit_changed(self, change: CircuitChange) -> None:
        """Take note and return at once: an attempt waits for it. Whatever this raises is logged and harms nothing."""


class Alerter(Protocol):
    """Tells people of an alert, by one way."""

    async def tell(self, alert: Alert) -> str | None:
        """Tell it once, within a time of its own; what went wrong, None where nothing did. Never raises for that."""

    async def close(self) -> None:
        """Let go of threads."""


class AlertListener(Protocol):
    """Hears of the alerts that this process is the one to tell of."""

    def tell(self, alert: Alert) -> None:
        """Take note and return at once."""
