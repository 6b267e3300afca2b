"""The heartbeat: a running process says so in the store, and looks who else does.

Whoever looks there knows whether anybody is at work, and those at work know among how many they are.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.model.node import BEAT_EVERY_S, Node, NodeWatch
from longstop.ports import Clock, Ledger

log = structlog.get_logger("longstop")


class Heartbeat:
    """Renews a node's record until it is stopped.

    cpu_s: processor time that the process has used so far, in seconds. attempts: how many it has under way.
    workers: is told how many nodes deliver, this one among them.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        node: Node,
        *,
        cpu_s: Callable[[], float],
        attempts: Callable[[], int],
        workers: Callable[[int], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._node = node
        self._cpu_s = cpu_s
        self._attempts = attempts
        self._workers = workers
        self._watch = NodeWatch()
        self._used_s, self._used_at_ms = cpu_s(), clock.monotonic_ms()
        self.is_first = True
        """It is the eldest of the nodes that deliver, and does what one of them has to do for all."""

    async def run(self) -> None:
        """Say every few seconds that the node is there. Runs until it is cancelled."""
        while True:
            await self._clock.sleep(BEAT_EVERY_S)
            await self.beat()

    async def leave(self) -> None:
        """Say that the node has ended. Where the store cannot be written, it is found out by its silence."""
        try:
            await self._ledger.leave(self._node.name)
        except StoreUnavailableError as error:
            log.warning("leave_failed", error=str(error))

    async def beat(self) -> None:
        """Say that the node is there, and look who else is. A worker does so before it leases anything."""
        node = self._now()
        try:
            await self._ledger.beat(node)
            nodes = await self._ledger.nodes()
        except StoreUnavailableError as error:
            log.debug("beat_failed", error=str(error))
        else:
            running = self._watch.look(nodes, node.seen_at_ms, self._clock.monotonic_ms())
            others = [each for each in running if "work" in each.roles and each.name != node.name]
            # For a moment two may think so, or nobody: nothing that is done so harms if it is done twice.
            self.is_first = all(node.is_elder_than(each) for each in others)
            self._workers(len(others) + 1)

    def _now(self) -> Node:
        used_s, at_ms = self._cpu_s(), self._clock.monotonic_ms()
        elapsed_s = (at_ms - self._used_at_ms) / 1000
        percent = round(100 * (used_s - self._used_s) / elapsed_s) if elapsed_s > 0 else self._node.cpu_percent
        self._used_s, self._used_at_ms = used_s, at_ms
        now_ms, attempts = self._clock.now_ms(), self._attempts()
        self._node = replace(self._node, seen_at_ms=now_ms, cpu_percent=percent, attempts=attempts)
        return self._node
