"""A table, queues and a bucket of a test's own in an account of AWS, or on an emulator: made by `longstop aws init`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.harness import environment
from longstop.stores.aws import AwsStore
from longstop.stores.aws.setup import Wanted
from longstop.stores.aws.setup.asking import Services

PREFIX = "longstop-smoke-"
"""Of all that is made, so that what a run has left is known by its name."""
MADE_S = 900
"""How long making a table may take."""
BATCH = 25
CONFIG = """\
[store]
url = "{url}"
"""


@dataclass(frozen=True)
class AccountPlace:
    """Where it is. endpoint: an emulator's; None: AWS itself."""

    region: str
    name: str
    endpoint: str | None = None

    @property
    def url(self) -> str:
        """What `store.url` is to be."""
        at = "" if self.endpoint is None else f"&endpoint={self.endpoint}"
        return f"aws://{self.region}?table={self.name}&queue={self.name}&bucket={self.name}&shards=2{at}"

    @property
    def wanted(self) -> Wanted:
        """The same, for whoever sets up."""
        return Wanted(self.region, self.name, self.name, self.name, endpoint=self.endpoint)

    def store(self) -> AwsStore:
        """On the table alone."""
        return AwsStore(self.region, self.name, endpoint=self.endpoint, shards=2)

    def longstop(self, folder: Path, *words: str) -> list[dict[str, Any]]:
        """What `longstop aws init` or `check` says; fails where it does not exit with 0."""
        config = folder / "account.toml"
        config.write_text(CONFIG.format(url=self.url))
        command = [sys.executable, "-m", "longstop", *words, "--json", "--config", str(config)]
        ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=MADE_S, check=False)
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return [json.loads(line) for line in ran.stdout.splitlines()]

    async def empty(self) -> None:
        """Take all items out of the table; its bodies stay in the bucket, which nobody lists."""
        async with Services(self.region, self.endpoint) as services:
            await self._empty(services)

    async def delete(self) -> None:
        """Take all of it away again, whether it is whole or not."""
        async with Services(self.region, self.endpoint) as services:
            await self._delete(services)

    async def _empty(self, services: Services) -> None:
        while True:
            answer = await services.call(
                "dynamodb", "scan", TableName=self.name, ProjectionExpression="pk, sk", ConsistentRead=True
            )
            rows = [{"DeleteRequest": {"Key": item}} for item in answer["Items"]]
            for start in range(0, len(rows), BATCH):
                left: Any = {self.name: rows[start : start + BATCH]}
                while left:
                    left = (await services.call("dynamodb", "batch_write_item", RequestItems=left))["UnprocessedItems"]
            if not answer.get("LastEvaluatedKey"):
                return

    async def _delete(self, services: Services) -> None:
        assert self.name.startswith(PREFIX), f"{self.name} was not made by a test"
        if (await services.ask("dynamodb", "describe_table", TableName=self.name)).value is not None:
            await services.make("dynamodb", "update_table", TableName=self.name, DeletionProtectionEnabled=False)
            await services.make("dynamodb", "delete_table", TableName=self.name)
        for queue in (self.wanted.queue, self.wanted.dead_queue):
            found = await services.ask("sqs", "get_queue_url", QueueName=queue)
            if found.value is not None:
                await services.make("sqs", "delete_queue", QueueUrl=found.value["QueueUrl"])
        if (await services.ask("s3", "get_bucket_versioning", Bucket=self.name)).value is not None:
            await self._delete_bucket(services)

    async def _delete_bucket(self, services: Services) -> None:
        while True:
            answer = await services.call("s3", "list_object_versions", Bucket=self.name)
            every = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
            gone = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in every]
            if not gone:
                break
            await services.make("s3", "delete_objects", Bucket=self.name, Delete={"Objects": gone})
        await services.make("s3", "delete_bucket", Bucket=self.name)


def account_named(name: str) -> AccountPlace:
    """In the account whose credentials are found, in AWS_REGION, at AWS_ENDPOINT_URL where that is set."""
    return AccountPlace(os.environ["AWS_REGION"], name, os.environ.get("AWS_ENDPOINT_URL"))
