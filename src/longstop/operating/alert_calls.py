"""Calling functions of the application with alerts, in a task of its own, so that no delivery ever waits for one."""

import asyncio

import structlog

from longstop.model.alert import Alert
from longstop.model.breaker import CircuitChange
from longstop.ports import Alerter

log = structlog.get_logger("longstop.operating.alert_calls")

WAITING_MAX = 100
"""So many alerts may wait to be told; the ones that come then are not."""
PAUSES_S = (1.0, 2.0)
"""Between the tries for an alert, of which there is one more."""
_STOPPED = "the gateway stopped before it was told"


class AlertCalls:
    """One function that is called, with one alert after the other.

    stop_within_s: the longest that a stop waits for what is still to be told.
    """

    def __init__(self, alerter: Alerter, stop_within_s: float) -> None:
        self._alerter = alerter
        self._stop_within_s = stop_within_s
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(WAITING_MAX)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell."""
        self._task = asyncio.create_task(self._run(), name="alert_calls")

    def circuit_changed(self, change: CircuitChange) -> None:
        """Have it told, soon."""
        self.tell(Alert.of(change))

    def tell(self, alert: Alert) -> None:
        """Have it told, soon."""
        try:
            self._waiting.put_nowait(alert)
        except asyncio.QueueFull:
            _failed(alert, f"{WAITING_MAX} others wait to be told")

    async def stop(self) -> None:
        """Try once more with what is not told yet, and end."""
        self._stopping.set()
        try:
            async with asyncio.timeout(self._stop_within_s):
                await self._waiting.join()
        except TimeoutError:
            pass
        if self._task is not None:
            self._task.cancel()
            # A function of the application's may refuse to be broken off.
            await asyncio.wait((self._task,), timeout=self._stop_within_s)
        while not self._waiting.empty():
            _failed(self._waiting.get_nowait(), _STOPPED)
        await self._alerter.close()

    async def _run(self) -> None:
        while True:
            alert = await self._waiting.get()
            error: str | None = _STOPPED
            try:
                error = await self._tell(alert)
            finally:
                self._waiting.task_done()
                if error is not None:
                    _failed(alert, error)

    async def _tell(self, alert: Alert) -> str | None:
        """Try until it is told; why it was not, None where it was."""
        error = await self._try(alert)
        for pause_s in PAUSES_S:
            if error is None or self._stopping.is_set():
                break
            await self._pause(pause_s)
            error = await self._try(alert)
        return error

    async def _try(self, alert: Alert) -> str | None:
        try:
            return await self._alerter.tell(alert)
        except Exception as error:
            # It never raises; if it does, that is a fault of ours, and the next alert is told all the same.
            return f"internal error: {type(error).__name__}"

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for longer than until the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _failed(alert: Alert, error: str) -> None:
    log.error("alert_failed", alert=alert.alert, about=alert.name, error=error)
