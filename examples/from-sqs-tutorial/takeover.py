"""Take over what a tutorial's handler has put into SQS: each message is accepted once, then deleted.

    python takeover.py https://sqs.eu-central-1.amazonaws.com/123456789012/webhooks

The handler wrote the body that Genesys Cloud had posted, as it was: an envelope with `webhookId` and `payload`, or a
flat event with `id`. The source in longstop.toml reads both. A message goes only when its event is kept; where this is
stopped in between, the next run finds the event there already. What cannot be read stays in the queue, and is named.
"""

import argparse
import asyncio
import os
from collections import Counter
from typing import Any

from aiobotocore.session import get_session

from longstop import Longstop
from longstop.model.errors import MalformedError

SOURCE = "genesys"
AT_ONCE = 10
"""So many messages SQS hands out at most in a call."""

gateway = Longstop("longstop.toml")


async def accept(sqs: Any, queue: str, message: dict[str, Any]) -> str:
    """Keep one message's event and delete the message; what became of it."""
    try:
        receipt = await gateway.publish(SOURCE, message["Body"].encode(), [("content-type", "application/json")])
    except MalformedError as error:
        print(f"left in the queue: {message['MessageId']}: {error}")
        return "left"
    await sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return str(receipt.status)


async def take_over(queue: str, region: str, endpoint: str | None = None, wait_s: int = 5) -> Counter[str]:
    """Until the queue has been empty for a while: how many were accepted, were duplicates, were left."""
    done: Counter[str] = Counter()
    client: Any = get_session().create_client("sqs", region_name=region, endpoint_url=endpoint)
    async with gateway.lifespan(), client as sqs:
        while True:
            answer = await sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=AT_ONCE, WaitTimeSeconds=wait_s, VisibilityTimeout=300
            )
            messages = answer.get("Messages", [])
            if not messages:
                return done
            done.update(await asyncio.gather(*(accept(sqs, queue, each) for each in messages)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queue", help="the queue's URL")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION", "eu-central-1"))
    parser.add_argument("--endpoint", help="of an emulator")
    asked = parser.parse_args()
    print(dict(asyncio.run(take_over(asked.queue, asked.region, asked.endpoint))))
