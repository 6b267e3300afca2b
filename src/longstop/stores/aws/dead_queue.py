"""The queue's own dead letters: messages under which functions ended again and again. The last net.

A message that names a delivery says nothing that the table does not know: where a worker died under that delivery, it
is parked as dead, `crashed`, and otherwise it stands in line and goes out. A message that is an event itself is all
there is of that event, so it is kept as one, dead from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longstop.aws_api.errors import CALL_ERRORS, what_is_wrong
from longstop.model.errors import StoreUnavailableError
from longstop.stores.aws.queue import ENTRIES_MAX, batched

VISIBLE_AGAIN_S = 60
"""After a sweep that was broken off."""


def name_of(queue: str) -> str:
    """What the queue of a queue's dead letters is called: in the 80 characters that a name may have.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
    """
    return f"{queue[:75]}-dead"


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that was received too often without an end."""

    id: str
    body: str
    handle: str


class DeadQueue:
    """The dead letters of a queue. client: aiobotocore's, of SQS."""

    def __init__(self, client: Any, queue: str) -> None:
        self._client = client
        self._name = name_of(queue)
        self._url: str | None = None

    async def receive(self) -> list[DeadMessage]:
        """Some of what is there. Raises StoreUnavailableError, also where there is no such queue."""
        try:
            if self._url is None:
                self._url = str((await self._client.get_queue_url(QueueName=self._name))["QueueUrl"])
            answer = await self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=ENTRIES_MAX, VisibilityTimeout=VISIBLE_AGAIN_S
            )
        except CALL_ERRORS as error:
            raise StoreUnavailableError(what_is_wrong(error, "ReceiveMessage", "sqs:ReceiveMessage")) from error
        return [
            DeadMessage(each["MessageId"], each["Body"], each["ReceiptHandle"]) for each in answer.get("Messages", ())
        ]

    async def delete(self, messages: Sequence[DeadMessage]) -> None:
        """They are seen to. Raises StoreUnavailableError; then they come again, and nothing is done twice.

        So does one whose handle has expired.
        """
        if not messages:
            return
        try:
            await batched(
                self._client.delete_message_batch, self._url, [{"ReceiptHandle": each.handle} for each in messages]
            )
        except CALL_ERRORS as error:
            raise StoreUnavailableError(what_is_wrong(error, "DeleteMessage", "sqs:DeleteMessage")) from error
