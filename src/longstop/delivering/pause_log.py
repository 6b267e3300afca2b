"""Pauses as the log tells them: by whom and why nothing goes to a destination, for whoever wonders about it."""

import structlog

from longstop.model.action import Pause
from longstop.model.errors import StoreUnavailableError
from longstop.model.times import rfc3339
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop.delivering.pause_log")

LOOK_S = 5.0
"""How long a pause may go unsaid. It holds at once: the store gives nothing out."""


class PauseLog:
    """Says which destinations are paused when it starts, and then what changes."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._said: dict[str, Pause] = {}

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                self._tell({pause.destination: pause for pause in await self._ledger.pauses()})
            except StoreUnavailableError as error:
                log.debug("pauses_unknown", error=str(error))
            await self._clock.sleep(LOOK_S)

    def _tell(self, paused: dict[str, Pause]) -> None:
        for name, pause in paused.items():
            if self._said.get(name) != pause:
                log.warning("paused", destination=name, since=rfc3339(pause.at_ms), by=pause.by, why=pause.why)
        for name in self._said.keys() - paused.keys():
            log.info("resumed", destination=name)
        self._said = paused
