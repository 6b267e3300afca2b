"""A function of the application that is called with each alert, as a handler is with each event."""

from collections.abc import Callable
from typing import Any

from longstop.model.alert import Alert
from longstop.model.settings import DestinationSettings
from longstop.senders.python import PythonSender


class FunctionAlerter:
    """Calls one function: an `async def` in the event loop, any other in a thread of its own."""

    def __init__(self, function: Callable[[Alert], Any], timeout_ms: int) -> None:
        self._caller = PythonSender(DestinationSettings("alerts", timeout_ms=timeout_ms, concurrency=1), function)

    async def tell(self, alert: Alert) -> str | None:
        """Call it once; what it raised, or that it took too long, as text. Never raises but for its cancellation."""
        return (await self._caller.call(alert)).error

    async def close(self) -> None:
        """Let go of the thread. A function that is still running is not waited for."""
        await self._caller.close()
