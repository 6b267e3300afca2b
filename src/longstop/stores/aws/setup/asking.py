"""Calls to the services, for whoever sets up: what is not there and what may not be looked at are answers, too."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast

from botocore.exceptions import ClientError

from longstop.aws_api.client import AwsClient, Patience
from longstop.aws_api.errors import CALL_ERRORS, code_of, what_is_wrong
from longstop.model.errors import StoreUnavailableError

PATIENCE = Patience(read_s=20, attempts=3)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "403", "Forbidden"})
_MISSING = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchKey",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


class DeniedError(StoreUnavailableError):
    """Whoever asks may not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service says of a thing."""

    value: Mapping[str, Any] | None
    """None: it is not there."""
    denied: str | None = None
    """What whoever asks may not; then nothing is known."""


class Services:
    """Clients of the services of one region, made when they are asked for."""

    def __init__(self, region: str, endpoint: str | None) -> None:
        self._region = region
        self._endpoint = endpoint
        self._stack = AsyncExitStack()
        self._clients: dict[str, AwsClient] = {}
        self.now_ms: int | None = None
        """The services' own time, as the last answer had it."""

    async def __aenter__(self) -> "Services":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def client(self, service: str) -> Any:
        """A client."""
        if service not in self._clients:
            made = AwsClient(service, self._region, self._endpoint, PATIENCE, connections=2)
            self._stack.push_async_callback(made.close)
            self._clients[service] = made
        return await self._clients[service].get()

    async def call(self, service: str, operation: str, **given: Any) -> Mapping[str, Any]:
        """Any call. Raises DeniedError, ClientError, StoreUnavailableError where there is no answer."""
        try:
            answer = await getattr(await self.client(service), operation)(**given)
        except ClientError as error:
            self._note_time(cast("Mapping[str, Any]", error.response))
            if code_of(error) in _DENIED:
                raise DeniedError(f"{service}, {operation}: not allowed") from error
            raise
        except CALL_ERRORS as error:
            raise _unavailable(error, service, operation) from error
        self._note_time(answer)
        return cast("Mapping[str, Any]", answer)

    async def ask(self, service: str, operation: str, **given: Any) -> Answer:
        """A call that looks at something. Raises StoreUnavailableError."""
        try:
            return Answer(await self.call(service, operation, **given))
        except DeniedError as error:
            return Answer(None, str(error))
        except ClientError as error:
            if code_of(error) in _MISSING:
                return Answer(None)
            raise _unavailable(error, service, operation) from error

    async def make(self, service: str, operation: str, **given: Any) -> Mapping[str, Any]:
        """A call that changes something. Raises StoreUnavailableError."""
        try:
            return await self.call(service, operation, **given)
        except ClientError as error:
            raise _unavailable(error, service, operation) from error

    def _note_time(self, answer: Mapping[str, Any]) -> None:
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self.now_ms = round(parsedate_to_datetime(date).timestamp() * 1000)


def _unavailable(error: BaseException, service: str, operation: str) -> StoreUnavailableError:
    return StoreUnavailableError(f"{service}: {what_is_wrong(error, operation, 'leave to do it')}")
