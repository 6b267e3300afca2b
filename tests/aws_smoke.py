"""`make aws-smoke`: the main acceptance and the store contract against a real account of AWS, by whoever has one.

    AWS_REGION=eu-central-1 make aws-smoke            asks before it makes anything; YES=1 does not
    AWS_REGION=eu-central-1 make aws-smoke CLEAN=longstop-smoke-…    takes away what a run has left that was killed

Credentials are found where every program on AWS finds them; they have to be those of somebody who may make and delete
tables, queues and buckets. Everything is made under a name of its own and deleted at the end. AWS_ENDPOINT_URL names an
emulator in the place of AWS.
"""

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

HERE = Path(__file__).parent
PLAN = """\
In {region}, as {who}{at}:
  made      the table, the queues and the bucket {name}, by longstop aws init; with its indexes that takes minutes
  run       longstop aws check; events posted, delivered, failed, edited, replayed; 5 MB; kill -9; the store contract
  cost      about {writes:,} write units and {reads:,} read units of DynamoDB, some thousand requests of SQS and S3, and
            a few megabytes for minutes: less than a US dollar by the list prices of November 2026
  deleted   all of it, at the end; after a kill: make aws-smoke CLEAN={name}
"""
WRITES, READS = 40_000, 30_000
"""Rounded up from what the contract takes over a table that reckons units (tests/aws_metered.py)."""


async def who_asks(region: str) -> str:
    """Whose credentials are found."""
    from longstop.stores.aws.setup.asking import Services

    async with Services(region, os.environ.get("AWS_ENDPOINT_URL")) as services:
        return str((await services.call("sts", "get_caller_identity"))["Arn"])


def main() -> int:
    sys.path.insert(0, str(HERE))
    from longstop.model.errors import StoreUnavailableError

    try:
        return run()
    except StoreUnavailableError as error:
        sys.exit(str(error))


def run() -> int:
    from acceptance.aws_account import PREFIX, account_named

    region = os.environ.get("AWS_REGION")
    if not region:
        sys.exit("found no AWS_REGION; expected the region to make things in: AWS_REGION=eu-central-1 make aws-smoke")
    if left := os.environ.get("CLEAN"):
        if not left.startswith(PREFIX):
            sys.exit(f"found CLEAN={left}; expected the name that a run has told: {PREFIX}…")
        asyncio.run(account_named(left).delete())
        print(f"{left} is gone")
        return 0
    name = f"{PREFIX}{uuid.uuid4().hex[:8]}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    at = f", at {endpoint}" if endpoint else ""
    print(PLAN.format(region=region, who=asyncio.run(who_asks(region)), at=at, name=name, writes=WRITES, reads=READS))
    if os.environ.get("YES") != "1" and input("Type yes to begin: ").strip() != "yes":
        print("nothing was made")
        return 0
    command = [sys.executable, "-m", "pytest", "-v", str(HERE / "acceptance" / "test_aws_smoke.py")]
    return subprocess.run(command, env={**os.environ, "AWS_SMOKE": name}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
