"""A queue of SQS and a bucket of S3 in this process, as far as the store uses them, which do all that those may do.

They are clients as aiobotocore's are, so that the store's own code runs over them.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from longstop.model.s3_place import S3Place
from longstop.stores.bodies.s3 import S3Bodies

VISIBLE_AGAIN_MS = 60_000
RECEIVED_MAX = 2
"""Of a message that was received so often without an end the queue is tired: it goes to its dead letters."""


class SqsInMemory:
    """A standard queue: it hands out twice and out of order, and of a batch it may do a part.

    share: of its calls and entries that something happens to. now_ms: by which messages are put off.
    """

    def __init__(self, rng: random.Random, share: float, now_ms: Callable[[], int]) -> None:
        self._rng = rng
        self.share = share
        self._now_ms = now_ms
        self._messages: dict[int, dict[str, Any]] = {}
        self._numbers = 0
        self.dead: SqsInMemory | None = None
        """Where a message goes that was received too often."""
        self.happened: Counter[str] = Counter()

    async def get_queue_url(self, QueueName: str) -> Any:
        return {"QueueUrl": QueueName}

    def _happens(self, what: str, share: float | None = None) -> bool:
        if self._rng.random() >= (self.share if share is None else share):
            return False
        self.happened[what] += 1
        return True

    async def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        assert 0 < len(Entries) <= 10
        assert len({each["Id"] for each in Entries}) == len(Entries)
        self._refuse("send")
        failed = [each for each in Entries if self._happens("send: a part failed")]
        for each in Entries:
            if each not in failed:
                self.put(each["MessageBody"], each["DelaySeconds"])
        if self._happens("send: answer lost", self.share / 2):
            raise ReadTimeoutError(endpoint_url="injected")
        return {"Failed": [{"Id": each["Id"], "SenderFault": False, "Code": "InternalError"} for each in failed]}

    def put(self, body: str, delay_s: int) -> None:
        assert 0 <= delay_s <= 900
        self._numbers += 1
        self._messages[self._numbers] = {"body": body, "at_ms": self._now_ms() + delay_s * 1_000, "received": 0}

    def _refuse(self, call: str) -> None:
        if self._happens(f"{call}: refused", self.share / 2):
            raise ClientError({"Error": {"Code": "RequestThrottled", "Message": "injected"}}, call)

    async def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> Any:
        self._refuse("receive")
        ready = [number for number, each in self._messages.items() if each["at_ms"] <= self._now_ms()]
        self._rng.shuffle(ready)
        found = []
        for number in ready[:MaxNumberOfMessages]:
            message = self._messages[number]
            message["received"] += 1
            if message["received"] > RECEIVED_MAX:
                if self.dead is not None:
                    self.dead.put(self._messages.pop(number)["body"], 0)
                continue
            again = self._happens("receive: handed out twice")
            message["at_ms"] = self._now_ms() + (0 if again else VISIBLE_AGAIN_MS)
            handle = f"{number}#{message['received']}"
            found.append({"MessageId": str(number), "Body": message["body"], "ReceiptHandle": handle})
        return {"Messages": found}

    async def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        assert 0 < len(Entries) <= 10
        self._refuse("delete")
        failed = []
        for each in Entries:
            number, received = map(int, each["ReceiptHandle"].split("#"))
            message = self._messages.get(number)
            if message is not None and (message["received"] != received or self._happens("delete: expired handle")):
                failed.append({"Id": each["Id"], "SenderFault": True, "Code": "ReceiptHandleIsInvalid"})
            elif self._happens("delete: a part failed"):
                failed.append({"Id": each["Id"], "SenderFault": False, "Code": "InternalError"})
            else:
                self._messages.pop(number, None)
        return {"Failed": failed}


class S3InMemory:
    """A bucket. share: of its calls that fail, before they are done or after."""

    def __init__(self, rng: random.Random, share: float, now_ms: Callable[[], int]) -> None:
        self._rng = rng
        self.share = share
        self._now_ms = now_ms
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.happened: Counter[str] = Counter()

    def bodies(self) -> S3Bodies:
        """The place for bodies over it."""
        made = S3Bodies(S3Place("in-memory", ""))
        made._bucket._client = _Handed(self)  # type: ignore[assignment]
        return made

    def _before(self, call: str) -> None:
        if self._rng.random() < self.share / 2:
            self.happened[f"{call}: refused"] += 1
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "injected"}}, call)

    def _after(self, call: str) -> None:
        if self._rng.random() < self.share / 2:
            self.happened[f"{call}: answer lost"] += 1
            raise ReadTimeoutError(endpoint_url="injected")

    async def put_object(self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> Any:
        self._before("put_object")
        if IfNoneMatch == "*" and Key in self.objects:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 412}}, "PutObject")
        self.objects[Key] = Body, self._now_ms()
        self._after("put_object")

    async def get_object(self, Bucket: str, Key: str) -> Any:
        self._before("get_object")
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")
        return {"Body": _Stream(self.objects[Key][0])}

    async def list_objects_v2(self, Prefix: str, MaxKeys: int, StartAfter: str = "", **_: Any) -> Any:
        self._before("list_objects_v2")
        names = sorted(each for each in self.objects if each.startswith(Prefix) and each > StartAfter)
        now = format_datetime(datetime.fromtimestamp(self._now_ms() / 1_000, UTC), usegmt=True)
        contents = [
            {"Key": each, "LastModified": datetime.fromtimestamp(self.objects[each][1] / 1_000, UTC)}
            for each in names[:MaxKeys]
        ]
        more = len(names) > MaxKeys
        return {"Contents": contents, "IsTruncated": more, "ResponseMetadata": {"HTTPHeaders": {"date": now}}}

    async def delete_objects(self, Delete: Any, **_: Any) -> Any:
        self._before("delete_objects")
        for each in Delete["Objects"]:
            self.objects.pop(each["Key"], None)
        self._after("delete_objects")
        return {}


class _Handed:
    """What hands out a client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self) -> Any:
        return self._client

    async def close(self) -> None:
        """There is nothing to close."""


class _Stream(AbstractAsyncContextManager["_Stream"]):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def read(self) -> bytes:
        return self._content
