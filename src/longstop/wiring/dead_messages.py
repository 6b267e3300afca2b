"""Seeing to the queue's own dead letters, once a sweep: each becomes something that a person sees, once."""

from dataclasses import replace
from typing import Any

import structlog

from longstop.edges.functions import messages
from longstop.model.append import Append, quarantine_delivery
from longstop.model.delivery import DeadReason
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Event, Headers
from longstop.model.ids import IdFactory
from longstop.ports import Clock

BATCHES_MAX = 50
"""So many calls a sweep makes for them; the rest is the next one's."""
KEPT_MS = 15 * 86_400_000
"""A message is kept by its queue for 14 days at most: until then it may come again.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
WHY = "a function ended under this message again and again, or could not keep it, and the queue gave it up"

log = structlog.get_logger("longstop")


class DeadMessages:
    """store: the AWS store, open. source: of what is kept of messages that are events themselves."""

    def __init__(self, store: Any, source: str, clock: Clock, ids: IdFactory) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._ids = ids

    async def see_to(self) -> int:
        """How many were seen to. What cannot be now is told, and is the next sweep's: no delivery waits for it."""
        seen = 0
        try:
            for _ in range(BATCHES_MAX if self._store.dead_queue is not None else 0):
                found = await self._store.dead_queue.receive()
                if not found:
                    break
                done = [each for each in found if await self._see_to_or_tell(each)]
                await self._store.dead_queue.delete(done)
                seen += len(done)
        except StoreUnavailableError as error:
            log.error("dead_messages_failed", error=str(error))
        return seen

    async def _see_to_or_tell(self, message: Any) -> bool:
        """Whether it is seen to. One that cannot be kept stays where it is, and the others do not wait for it."""
        try:
            return await self._see_to(message)
        except StoreUnavailableError as error:
            log.error("dead_messages_failed", message_id=message.id, error=str(error))
            return False

    async def _see_to(self, message: Any) -> bool:
        """Whether it is seen to. Raises StoreUnavailableError."""
        said = messages.read([{"messageId": message.id, "body": message.body}])
        for delivery_id in said.deliveries:
            parked = await self._store.park_crashed(delivery_id, self._clock.now_ms())
            if parked:
                log.error("dead", reason="crashed", delivery_id=delivery_id, error=WHY)
            return parked is not None
        await self._keep(message)
        return True

    async def _keep(self, message: Any) -> None:
        now_ms = self._clock.now_ms()
        event = Event(
            self._ids.make(now_ms),
            self._source,
            now_ms,
            message.body.encode("utf-8", "surrogatepass"),
            Headers([("content-type", "application/json")]),
            dedup=f"sqs:{message.id}".encode(),
        )
        dead = replace(quarantine_delivery(event, WHY, self._ids.make(now_ms)), reason=DeadReason.CRASHED)
        await self._store.append([Append(event, (dead,), now_ms + KEPT_MS)])
        log.error("dead", reason="crashed", event_id=event.id, error=WHY)
