"""The queue: who has something to deliver says so, and who delivers is woken, or called, for it.

A message says which delivery, and for which destination. The table is the truth: a message that is lost, late, twice or
out of order changes nothing but when somebody looks. So none is waited for before a sender gets its answer, and one
that could not be sent is not an error; workers look by themselves every few seconds, and the sweep of functions sends
again what should have been claimed by now.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from longstop.model.delivery import Delivery
from longstop.model.errors import SchemaError, StoreUnavailableError

ENTRIES_MAX = 10
"""Of one call.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
WAIT_S = 20
"""A long poll."""
AGAIN_S = 1.0
"""After a call that failed."""
WAITING_MAX = 5_000
"""So many messages are to be sent at most; more of them would wake nobody sooner."""

log = structlog.get_logger("longstop.store")


class Queue:
    """One queue. client: aiobotocore's, of SQS."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._url = ""
        self._waiting: list[tuple[str, str]] = []
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Find it. Raises SchemaError, StoreUnavailableError."""
        try:
            answer = await self._client.get_queue_url(QueueName=self._name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code.endswith(("NonExistentQueue", "QueueDoesNotExist")):
                raise SchemaError(f"the queue {self._name} is not there; longstop aws init makes one") from error
            raise StoreUnavailableError(f"SQS, get_queue_url: {code}") from error
        except (BotoCoreError, OSError) as error:
            raise StoreUnavailableError(f"SQS, get_queue_url: {error}") from error
        self._url = answer["QueueUrl"]

    async def close(self) -> None:
        """Send what is to be sent, and stop."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        await self.sent()

    def tell(self, deliveries: Sequence[Delivery]) -> None:
        """These stand in line. Soon told, and not waited for."""
        room = WAITING_MAX - len(self._waiting)
        self._waiting += [(each.id, each.destination) for each in deliveries[: max(0, room)]]
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send())

    async def sent(self) -> None:
        """When all that `tell` was told of has been sent, or could not be."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:ENTRIES_MAX], self._waiting[ENTRIES_MAX:]
            entries = [
                {"Id": str(place), "MessageBody": json.dumps({"delivery": id_, "destination": to})}
                for place, (id_, to) in enumerate(some)
            ]
            try:
                await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            except (ClientError, BotoCoreError, OSError) as error:
                log.warning("queue_failed", call="send_message_batch", error=str(error))
                self._waiting = []

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever somebody tells something, until it is closed."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(wake))

    async def _listen(self, wake: Callable[[], None]) -> None:
        while True:
            try:
                answer = await self._client.receive_message(
                    QueueUrl=self._url, MaxNumberOfMessages=ENTRIES_MAX, WaitTimeSeconds=WAIT_S
                )
                messages = answer.get("Messages", ())
                if messages:
                    wake()
                    await self._delete(messages)
            except (ClientError, BotoCoreError, OSError) as error:
                log.debug("queue_failed", call="receive_message", error=str(error))
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=AGAIN_S)

    async def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        entries = [{"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(messages)]
        await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
