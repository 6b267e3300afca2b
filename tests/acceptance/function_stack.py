"""The stack of `longstop aws template`, made on an emulator that runs its functions.

All of it is the emulator's: the HTTP API in front of `ingest`, the queue that calls `work`, the rule that puts a
partner's events into it. But for two things: nobody can be a partner of EventBridge there, so the rule is for events
whose source does not begin with `aws.`; and `sweep` is not waited for, but called.
"""

import asyncio
import http.client
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

from aiobotocore.session import get_session

from acceptance.harness import BEARER_TOKEN, GENESYS_SECRET, HMAC_SECRET, LIMIT_S, Answer, Site, hex_signature
from aws_server import AwsServer
from function_package import package

REGION = "eu-central-1"
BUS = "genesys"
TRIES = 3
"""Of a sender. A function that took longer than it may, on a machine that is busy, was ended."""
PARTNER = "aws.partner/genesys.com"
EVENTS = """
[sources.bus]
kind = "genesys-eventbridge"
verify = { scheme = "none" }

[[routes]]
from = "bus"
to = ["crm"]
"""
SECRETS = {"GENESYS_SECRET": GENESYS_SECRET, "BEARER_TOKEN": BEARER_TOKEN, "HMAC_SECRET": HMAC_SECRET}

T = TypeVar("T")


class Stack:
    """One stack, whose name is that of its table, queue and bucket."""

    def __init__(self, server: AwsServer, name: str, folder: Path) -> None:
        self._server = server
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._open = AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._host = ""
        place = f"table={name}&queue={name}&bucket={name}-bodies&bodies_over=100KiB&shards=2"
        self.site = Site(folder, f"aws://{REGION}?{place}&endpoint={server.url}")
        self.site.configure(more=EVENTS)

    def close(self) -> None:
        """Let go of the clients; the emulator ends with the stack."""
        self.site.close()
        self._loop.run_until_complete(self._open.aclose())
        self._loop.close()

    def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:
        """Ask the emulator something."""
        return self._run(self._call(service, operation, given))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _call(self, service: str, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if service not in self._clients:
            client = get_session().create_client(service, region_name=REGION, endpoint_url=self._server.url)
            self._clients[service] = await self._open.enter_async_context(client)
        answer: dict[str, Any] = await getattr(self._clients[service], operation)(**given)
        if "Payload" in answer:
            answer["Payload"] = await answer["Payload"].read()
        return answer

    def make(self) -> None:
        """What docs/stores/aws.md says to do."""
        place = {"LocationConstraint": REGION}
        self.call("secretsmanager", "create_secret", Name="longstop", SecretString=json.dumps(SECRETS))
        self.call("events", "create_event_bus", Name=BUS)
        self.call("s3", "create_bucket", Bucket="code", CreateBucketConfiguration=place)
        self.call("s3", "put_object", Bucket="code", Key="code.zip", Body=package(self.site.config))
        template = self.site.cli("aws", "template", "--format", "cloudformation", "--json").out.decode()
        assert PARTNER in template
        given = {"CodeBucket": "code", "CodeKey": "code.zip", "EventBus": BUS}
        self.call(
            "cloudformation",
            "create_stack",
            StackName=self._name,
            TemplateBody=template.replace(PARTNER, PARTNER.removeprefix("aws.")),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
        self._run(self._made())

    async def _made(self) -> None:
        while True:
            (stack,) = (await self._call("cloudformation", "describe_stacks", {"StackName": self._name}))["Stacks"]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                break
            await asyncio.sleep(0.05)
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        (address,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "SendersPostTo"]
        # Where the service's names would be resolved: by the name in front.
        self._host = f"{address.removeprefix('https://').partition('.')[0]}.execute-api.localhost:{self._server.port}"

    def post(self, body: bytes, source: str = "shop") -> Answer:
        """Post to the function's HTTP API as the source's sender would."""
        headers = {"Host": self._host, "Content-Type": "application/json", **hex_signature(body)}
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=2 * LIMIT_S)
        with closing(connection):
            connection.request("POST", f"/webhooks/{source}", body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def accept(self, body: bytes) -> str:
        """Post what has to be accepted, again where the function was too slow, as senders do; its id."""
        tried = 1
        while (answer := self.post(body)).status >= 500 and tried < TRIES:
            tried += 1
        assert answer.status == 200, answer
        assert answer.json["status"] == "accepted" or tried > 1, answer
        return str(answer.json["id"])
