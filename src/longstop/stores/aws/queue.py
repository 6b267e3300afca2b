"""The queue: who has something to deliver says so, and who delivers is woken, or called, for it.

A message says which delivery, and for which destination. The table is the truth: a message that is lost, late, twice or
out of order changes nothing but when somebody looks. So none is waited for before a sender gets its answer, and one
that could not be sent is not an error; workers look by themselves every few seconds, and the sweep of functions sends
again what should have been claimed by now.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from botocore.exceptions import ClientError

from longstop.aws_api.errors import CALL_ERRORS, what_is_wrong
from longstop.model.delivery import Delivery
from longstop.model.errors import SchemaError, StoreUnavailableError

ENTRIES_MAX = 10
"""Of one call.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
DELAY_MAX_S = 900
"""Of a message; what is due later is put off again.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
WAIT_S = 20
"""A long poll."""
AGAIN_S = 1.0
"""After a call that failed."""
WAITING_MAX = 5_000
"""So many messages are to be sent at most; more of them would wake nobody sooner."""

Entry = dict[str, Any]
"""A message as it is sent."""

log = structlog.get_logger("longstop.store")


class Queue:
    """One queue. client: aiobotocore's, of SQS. now_ms: the wall clock."""

    def __init__(self, client: Any, name: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._now_ms = now_ms
        self.reminds = False
        """Whether it is told what is due later, too: functions are called for it, and servers look by themselves."""
        self._name = name
        self._url = ""
        self._waiting: list[Entry] = []
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
            raise StoreUnavailableError(what_is_wrong(error, "GetQueueUrl", "sqs:GetQueueUrl")) from error
        except CALL_ERRORS as error:
            raise StoreUnavailableError(what_is_wrong(error, "GetQueueUrl", "sqs:GetQueueUrl")) from error
        self._url = answer["QueueUrl"]

    async def close(self) -> None:
        """Send what is to be sent, and stop."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        await self.sent()

    def tell(self, deliveries: Sequence[Delivery], least_s: int = 0) -> None:
        """These stand in line. Soon told, and not waited for. least_s: not before that."""
        now_ms = self._now_ms()
        entries = [_entry(each, now_ms, least_s) for each in deliveries]
        now = [each for each in entries if self.reminds or each["DelaySeconds"] == 0]
        self._waiting += now[: max(0, WAITING_MAX - len(self._waiting))]
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send())

    async def sent(self) -> None:
        """When all that `tell` was told of has been sent, or could not be."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:ENTRIES_MAX], self._waiting[ENTRIES_MAX:]
            try:
                await batched(self._client.send_message_batch, self._url, some)
            except CALL_ERRORS as error:
                log.warning(
                    "queue_failed",
                    call="send_message_batch",
                    error=_told(error),
                )
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
            except CALL_ERRORS as error:
                log.debug(
                    "queue_failed",
                    call="receive_message",
                    error=_told(error),
                )
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=AGAIN_S)

    async def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        handles = [{"ReceiptHandle": each["ReceiptHandle"]} for each in messages]
        await batched(self._client.delete_message_batch, self._url, handles)


async def batched(call: Callable[..., Awaitable[Any]], url: str | None, entries: Sequence[Entry]) -> None:
    """Make a call for some entries. Those that the service could not do, of a call that went well, it is asked for once
    more, one by one; what it calls the sender's fault (a handle that has expired) would fail again.

    What is not done then is lost, or comes again, and neither matters: see above.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html
    """
    answer = await call(QueueUrl=url, Entries=[each | {"Id": str(place)} for place, each in enumerate(entries)])
    for failed in answer.get("Failed", ()):
        if not failed.get("SenderFault", False):
            await call(QueueUrl=url, Entries=[entries[int(failed["Id"])] | {"Id": "0"}])


def _told(error: BaseException) -> str:
    return what_is_wrong(error, "the queue", "sqs:SendMessage, sqs:ReceiveMessage and sqs:DeleteMessage")


def _entry(delivery: Delivery, now_ms: int, least_s: int) -> Entry:
    """The message for a delivery, put off until it is due, or for as long as can be: whoever gets it looks again."""
    wait_s = min(DELAY_MAX_S, max(least_s, math.ceil((delivery.due_at_ms - now_ms) / 1000), 0))
    said = {"delivery": delivery.id, "destination": delivery.destination}
    return {"MessageBody": json.dumps(said), "DelaySeconds": wait_s}
