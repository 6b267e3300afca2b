"""Emulators of AWS, for tests: two programs of others, in an environment of their own, started on the loopback.

`make aws-emulators` makes the environment. What one of them does not do as AWS does, the other may; what neither does
is listed in docs/s3.md.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from child_servers import ending_with_us, spawn
from longstop.stores.aws.setup.wanted import RECEIVES_MAX, Wanted, dead_queue_attributes, queue_attributes
from longstop.stores.aws.table import definition

KINDS = ("ministack", "moto")
ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLEOFTESTS01", "the-secret-key-of-these-tests"
REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
"""What a program of a test is told; the emulators take any."""
_PYTHON = Path(sys.prefix, "aws", "bin", "python")
_NUMBERS = itertools.count()


def have_credentials(patch: pytest.MonkeyPatch, nowhere: Path) -> None:
    """Those of the tests, and none of who runs them. nowhere: a file that is not there."""
    for name, value in CREDENTIALS.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        patch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, str(nowhere))


def needed() -> None:
    """Skip where there is no emulator, and fail where there has to be."""
    if _PYTHON.exists():
        return
    missing = f"no {_PYTHON}: make aws-emulators"
    if os.environ.get("LONGSTOP_CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def chosen() -> str:
    """The emulator that EMULATOR names; without it the one that is closer to AWS."""
    named = os.environ.get("EMULATOR", KINDS[0])
    if named not in KINDS:
        raise pytest.UsageError(f"EMULATOR={named}: expected {' or '.join(KINDS)}")
    return named


_ONE_AT_A_TIME = """\
from werkzeug import serving
from moto import server
server.run_simple = lambda *given, **named: serving.run_simple(*given, **{**named, "threaded": False})
server.main()
"""
"""moto, its calls one after the other: those of two threads see half of each other's transactions, and one that fails
puts the whole table back to where it found it."""


class AwsServer:
    """One emulator. folder: where it may write. serial: it takes one call after the other."""

    def __init__(self, kind: str, folder: Path, port: int, *, serial: bool = False) -> None:
        self.kind = kind
        self._serial = serial
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        moto = ["-c", _ONE_AT_A_TIME] if self._serial else ["-m", "moto.server"]
        program = {
            "ministack": ["-m", "ministack"],
            "moto": [*moto, "-H", "127.0.0.1", "-p", str(self.port)],
        }[self.kind]
        place = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "PATH": os.environ["PATH"]}
        with (self.folder / "log").open("wb") as log:
            self._process = spawn(
                [*ending_with_us(), str(_PYTHON), *program],
                cwd=self.folder,
                env={**place, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until_s = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until_s, f"{self.kind} does not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """Let it end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def bucket(self) -> str:
        """The name of a new bucket with nothing in it."""
        name = f"longstop-test-{next(_NUMBERS)}"
        asked = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(asked, timeout=30).close()
        return name

    def table(self) -> str:
        """The name of a new table with nothing in it."""
        name = f"longstop-test-{next(_NUMBERS)}"
        self.call("DynamoDB_20120810.CreateTable", definition(name))
        return name

    def store(self) -> str:
        """What `store.url` is to be for a new store as users have it: a table, two queues and a bucket."""
        table, bucket = self.table(), self.bucket()
        wanted = Wanted(REGION, table, queue=table)
        self._queue(wanted.dead_queue, dead_queue_attributes())
        gives_up = {"deadLetterTargetArn": self._arn(wanted.dead_queue), "maxReceiveCount": RECEIVES_MAX}
        self._queue(table, queue_attributes(wanted.visibility_s) | {"RedrivePolicy": json.dumps(gives_up)})
        return f"aws://{REGION}?table={table}&queue={table}&bucket={bucket}&shards=2&endpoint={self.url}"

    def _queue(self, name: str, attributes: dict[str, str]) -> None:
        self.call("AmazonSQS.CreateQueue", {"QueueName": name, "Attributes": attributes})

    def _arn(self, queue: str) -> str:
        url = self.call("AmazonSQS.GetQueueUrl", {"QueueName": queue})["QueueUrl"]
        asked = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
        return str(self.call("AmazonSQS.GetQueueAttributes", asked)["Attributes"]["QueueArn"])

    def call(self, target: str, given: dict[str, Any]) -> Any:
        """Ask it something of a service whose protocol is JSON."""
        service = "sqs" if target.startswith("AmazonSQS") else "dynamodb"
        headers = {
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request",
        }
        asked = urllib.request.Request(self.url, json.dumps(given).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())
