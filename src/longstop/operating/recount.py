"""Checking the counters in the background: one name a step, a step every few seconds, again and again.

They are changed in the transactions that change what they count, so this should find nothing. Where it does, it puts
it right and says so, because it is a fault of ours or somebody has changed the store with another program.
"""

from collections.abc import Callable

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop.recount")

STEP_S = 5.0
ROUND_S = 3_600.0
"""After the last name, so long until the first comes round again."""


class Recounter:
    """Checks the counters of one store. is_mine: whether this process does it now, and no other one on the store."""

    def __init__(self, ledger: Ledger, clock: Clock, is_mine: Callable[[], bool] = lambda: True) -> None:
        self._ledger = ledger
        self._clock = clock
        self._is_mine = is_mine
        self._after: str | None = None

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await self._clock.sleep(STEP_S)
            if self._is_mine() and await self.step():
                await self._clock.sleep(ROUND_S)

    async def step(self) -> bool:
        """Check the next; whether it was the last. A store that cannot tell now is asked again."""
        try:
            found = await self._ledger.recount(self._after)
        except StoreUnavailableError as error:
            log.debug("recount_failed", error=str(error))
            return False
        for drift in found.drifts:
            log.error("counts_drifted", counter=drift.counter, kept=drift.kept, found=drift.found)
        self._after = found.next_after
        return self._after is None
