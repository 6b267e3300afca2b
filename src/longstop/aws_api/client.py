"""A client of one of AWS' services: with the usual credentials, in few attempts, and never waited for long.

The credentials are those that every program of AWS looks for, in this order: environment, assumed role, web identity,
single sign-on, the files of AWS' own command line (`AWS_PROFILE`), container, machine.
https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
"""

import asyncio
import functools
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.loaders import Loader, create_loader

CONNECT_S = 2


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is waited for, and how often it is made."""

    read_s: float
    attempts: int
    """What failed on the way, was throttled or answered with a 5xx is tried again after up to a second, then two:
    `standard` in https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""


class AwsClient:
    """Made when it is first needed, one for all who need it; `close` ends its connections.

    validated: whether what is asked is looked through before it is sent.
    """

    def __init__(
        self,
        service: str,
        region: str | None,
        endpoint: str | None,
        patience: Patience,
        connections: int,
        validated: bool = True,
    ) -> None:
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._config = AioConfig(
            connect_timeout=CONNECT_S,
            read_timeout=patience.read_s,
            retries={"mode": "standard", "total_max_attempts": patience.attempts},
            max_pool_connections=connections,
            # A quarter of what a call of a hundred items costs this process; what is wrong the service finds, too.
            parameter_validation=validated,
            # A bucket as the first part of a host name is Amazon's way; who else speaks S3 has one host.
            s3={"addressing_style": "path"} if endpoint is not None else {},
        )
        self._made: Any = None
        self._making = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def get(self) -> Any:
        """botocore's client, whose methods are the service's operations."""
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await self._make()
        return self._made

    async def close(self) -> None:
        """End what is open; a later call opens it anew."""
        self._made = None
        await self._stack.aclose()

    async def _make(self) -> Any:
        session = get_session()
        models = _models(session.get_config_variable("data_path"))
        session.register_component("data_loader", models)
        # A third of a second of reading files, which nobody has to stand still for.
        await asyncio.to_thread(_read, models, self._service)
        made = session.create_client(
            self._service, region_name=self._region, endpoint_url=self._endpoint, config=self._config
        )
        return await self._stack.enter_async_context(made)


def read_models(services: Iterable[str]) -> None:
    """Read now what botocore knows of these services; a client made later in this process is made of it."""
    models = _models(get_session().get_config_variable("data_path"))
    for service in services:
        _read(models, service)


@functools.cache
def _models(path: str | None) -> Loader:
    """What botocore knows of the services, for all clients of this process."""
    return create_loader(path)


def _read(models: Loader, service: str) -> None:
    """Read what making a client takes; it is kept."""
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        models.load_data(name)
    for name in ("service-2", "endpoint-rule-set-1"):
        models.load_service_model(service, name)
