"""Looking at what the store warns of, so that whoever asks whether all is well need not wait for it; and telling it in
the log, once when it begins and once when it is over.
"""

from collections.abc import Sequence

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.model.store_health import StoreWarning
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop.store")

EVERY_S = 10.0


class StoreWatch:
    """Asks the store every EVERY_S seconds."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self.warnings: Sequence[StoreWarning] = ()
        """As they were when the store was last asked."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask once. Where the store cannot say, what is known stands: others tell that it cannot be had."""
        try:
            found = (await self._ledger.health(self._clock.now_ms())).warnings
        except StoreUnavailableError:
            return
        before, now = {each.kind for each in self.warnings}, {each.kind for each in found}
        for each in found:
            if each.kind not in before:
                log.warning("store_warning", warning=each.kind.value, text=each.text)
        for kind in sorted(before - now):
            log.info("store_warning_over", warning=kind.value)
        self.warnings = found
