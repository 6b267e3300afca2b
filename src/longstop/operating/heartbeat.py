"""The heartbeat: a running process says so in the store. Whoever looks there knows whether anybody is at work."""

from dataclasses import replace

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.model.node import BEAT_EVERY_S, Node
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop")


class Heartbeat:
    """Renews a node's record until it is stopped."""

    def __init__(self, ledger: Ledger, clock: Clock, node: Node) -> None:
        self._ledger = ledger
        self._clock = clock
        self._node = node
        self._failing = False

    async def run(self) -> None:
        """Say that the node is there, now and every few seconds. Runs until it is cancelled."""
        while True:
            await self._beat()
            await self._clock.sleep(BEAT_EVERY_S)

    async def leave(self) -> None:
        """Say that the node has ended. Where the store cannot be written, it is found out by its silence."""
        try:
            await self._ledger.leave(self._node.name)
        except StoreUnavailableError as error:
            log.warning("leave_failed", error=str(error))

    async def _beat(self) -> None:
        try:
            await self._ledger.beat(replace(self._node, seen_at_ms=self._clock.now_ms()))
        except StoreUnavailableError as error:
            # Told once: whatever else needs the store says so too.
            if not self._failing:
                log.warning("beat_failed", error=str(error))
            self._failing = True
        else:
            self._failing = False
