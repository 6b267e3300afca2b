"""Objects below a prefix of a bucket: what an archive and large bodies ask of S3."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from longstop.aws_api.client import AwsClient, Patience
from longstop.aws_api.errors import CALL_ERRORS, code_of, status_of, what_is_wrong
from longstop.model.errors import LongstopError
from longstop.model.s3_place import S3Place

CONNECTIONS = 16
"""And so many calls of one place at a time."""
LISTED_AT_ONCE = 1_000
"""The most that S3 lists or deletes in one call.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
CONFLICTS_MAX = 3
LAST = "\U0010ffff"
"""Behind a folder's name: behind all that is in it."""
HASHED_HERE_BYTES = 64 * 2**10
"""What is larger is hashed in a thread."""
_PERMISSIONS = {
    "PutObject": ("s3:PutObject", "kms:GenerateDataKey"),
    "GetObject": ("s3:GetObject, and s3:ListBucket,", "kms:Decrypt"),
    "ListObjectsV2": ("s3:ListBucket", None),
    "DeleteObjects": ("s3:DeleteObject", None),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: its name below the prefix, and when it was written, by the service's clock."""

    name: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of what there is, in the order of the names."""

    objects: Sequence[Listed]
    folders: Sequence[str]
    """Where folders were asked for: those directly below, each with its slash."""
    more_after: str | None
    """Where the next ones go on; None: that was all."""
    now_ms: int
    """The time of the answer, by the service's clock."""


class Bucket:
    """A place in S3. raises: what every method raises where S3 cannot be reached or refuses."""

    def __init__(self, place: S3Place, patience: Patience, raises: type[LongstopError]) -> None:
        self.place = place
        self._client = AwsClient("s3", place.region, place.endpoint, patience, CONNECTIONS)
        self._raises = raises
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def put_new(self, name: str, content: bytes) -> bool:
        """Write an object where there is none of this name; False where there is one, and it stays.

        An answer that was lost counts as well: the next attempt finds what the one before has written.
        """
        for attempt in range(1, CONFLICTS_MAX + 1):
            async with self._calling("PutObject") as client:
                try:
                    await client.put_object(**await self._put(name, content), IfNoneMatch="*")
                    return True
                except ClientError as error:
                    if status_of(error) == 412:
                        return False
                    # "On a 409 failure you should retry the upload": API_PutObject, If-None-Match.
                    if status_of(error) != 409 or attempt == CONFLICTS_MAX:
                        raise
        raise AssertionError("not reached")

    async def put(self, name: str, content: bytes) -> None:
        """Write an object, also in the place of another."""
        async with self._calling("PutObject") as client:
            await client.put_object(**await self._put(name, content))

    async def get(self, name: str) -> bytes | None:
        """What is in an object, compared with its checksum; None where there is none of this name."""
        async with self._calling("GetObject") as client:
            try:
                found = await client.get_object(Bucket=self.place.bucket, Key=self.place.key(name))
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
            async with found["Body"] as stream:
                return bytes(await stream.read())

    async def list(self, under: str = "", after: str | None = None, *, folders: bool = False) -> Listing:
        """The names that begin with `under`, at most LISTED_AT_ONCE, from the first behind `after`.

        folders: what has another slash behind `under` is told as a folder.
        """
        asked: dict[str, Any] = {"Bucket": self.place.bucket, "Prefix": self.place.key(under)}
        if after is not None:
            asked["StartAfter"] = self.place.key(after)
        if folders:
            asked["Delimiter"] = "/"
        found = await self._list(asked)
        objects = [Listed(self._name(each["Key"]), _ms(each["LastModified"])) for each in found.get("Contents", ())]
        below = [self._name(each["Prefix"]) for each in found.get("CommonPrefixes", ())]
        last = max([*(each.name for each in objects), *(f"{each}{LAST}" for each in below)], default=None)
        # Without a time nothing there is old.
        said_at = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        now_ms = _ms(parsedate_to_datetime(said_at)) if said_at else 0
        return Listing(objects, below, last if found.get("IsTruncated") else None, now_ms)

    async def _list(self, asked: dict[str, Any]) -> Any:
        """The first answer that has something in it, or the last: there may be some with nothing before it."""
        while True:
            async with self._calling("ListObjectsV2") as client:
                found = await client.list_objects_v2(**asked, MaxKeys=LISTED_AT_ONCE)
            if found.get("Contents") or found.get("CommonPrefixes") or not found.get("IsTruncated"):
                return found
            asked["ContinuationToken"] = found["NextContinuationToken"]

    async def delete(self, names: Sequence[str]) -> None:
        """Delete the objects of these names, where they are there."""
        for start in range(0, len(names), LISTED_AT_ONCE):
            keys = [{"Key": self.place.key(name)} for name in names[start : start + LISTED_AT_ONCE]]
            async with self._calling("DeleteObjects") as client:
                said = await client.delete_objects(Bucket=self.place.bucket, Delete={"Objects": keys, "Quiet": True})
                # What could not be deleted is told one by one, in an answer that is a 200.
                for told in said.get("Errors", ()):
                    raise ClientError({"Error": told}, "DeleteObjects")

    def _name(self, key: str) -> str:
        return key.removeprefix(self.place.key(""))

    async def _put(self, name: str, content: bytes) -> dict[str, Any]:
        large = len(content) > HASHED_HERE_BYTES
        digest = await asyncio.to_thread(_sha256, content) if large else _sha256(content)
        encryption = {"ServerSideEncryption": self.place.encryption, "SSEKMSKeyId": self.place.kms_key}
        return {
            "Bucket": self.place.bucket,
            "Key": self.place.key(name),
            "Body": content,
            "ChecksumSHA256": digest,
            **{key: value for key, value in encryption.items() if value is not None},
        }

    @contextlib.asynccontextmanager
    async def _calling(self, operation: str) -> AsyncIterator[Any]:
        """A client for one call, whose errors are told as ours."""
        async with self._room:
            with self._told(operation):
                yield await self._client.get()

    @contextlib.contextmanager
    def _told(self, operation: str) -> Iterator[None]:
        try:
            yield
        except CALL_ERRORS as error:
            wrong = what_is_wrong(error, operation, self._permission(operation))
            raise self._raises(f"{self.place}: {wrong}") from None

    def _permission(self, operation: str) -> str:
        needed, of_key = _PERMISSIONS[operation]
        bucket = f"arn:aws:s3:::{self.place.bucket}"
        on = bucket if operation == "ListObjectsV2" else f"{bucket}/{self.place.key('*')}"
        return f"{needed} on {on}" + (f" (with a key of KMS also {of_key} on that)" if of_key else "")


async def together(calls: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Make them all at once. Raises what one of them raised, when none goes on."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(call)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _ms(at: Any) -> int:
    return int(at.timestamp() * 1000)
