"""What has to be there, and how: the one place that template, `init` and `check` take it from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longstop.stores.aws.dead_queue import name_of
from longstop.stores.aws.table import definition

TTL = "ttl"
"""The attribute by which the service deletes."""
RECEIVES_MAX = 5
"""After so many receives without an end a message goes to the queue of the dead."""
KEPT_S = 4 * 86_400
"""So long a message waits for somebody: it only wakes, and the sweep sends again."""
DEAD_KEPT_S = 14 * 86_400
"""As long as the service allows: a message's age goes with it, so it has to be more than the queue's.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html"""
POLL_S = 20
INGEST_S = 10
"""Of the function that accepts; it answers within 4 s."""
SWEEP_S = 120
WORK_MIN_S = 60
FUNCTION_MAX_S = 900
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
BESIDE_HANDLER_S = 30
"""For what a worker does before and after a handler."""
VISIBILITY_TIMES = 6
"""The queue's visibility time-out is so many of the function's.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
UNFINISHED_DAYS = 1
"""Uploads in parts that nobody has finished."""
FORGOTTEN_DAYS = 7
"""So long what was deleted or written over in the bucket can be had back."""
BODIES = "bodies"
ARCHIVE = "archive"
ROLES = ("ingest", "work", "sweep")
"""Of functions; beside them there is the operator's."""
BLOCKED = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the store's URL names. region: of all of it. endpoint: in the place of Amazon's own."""

    region: str
    table: str
    queue: str | None = None
    bucket: str | None = None
    endpoint: str | None = None
    longest_ms: int = 0
    """The longest that a destination may take."""
    variables: tuple[str, ...] = ()
    """Those that the configuration takes from the environment."""
    takes_events: bool = False
    """Whether Amazon EventBridge puts events into the queue, which who delivers then accepts."""

    @property
    def dead_queue(self) -> str:
        """Where a message goes that nobody came to an end with."""
        return name_of(self.queue or "")

    @property
    def work_s(self) -> int:
        """How long the function that delivers may take."""
        return min(FUNCTION_MAX_S, max(WORK_MIN_S, -(-self.longest_ms // 1000) + BESIDE_HANDLER_S))

    @property
    def visibility_s(self) -> int:
        """How long nobody else gets a message that somebody has received."""
        return VISIBILITY_TIMES * self.work_s

    @property
    def partition(self) -> str:
        """Which part of AWS the region is in, as ARNs name it."""
        begins = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for beginning, name in begins.items() if self.region.startswith(beginning)), "aws")

    @property
    def is_plain(self) -> bool:
        """Whether the endpoint is an emulator's without TLS, by which nothing could be had that asks for it."""
        return (self.endpoint or "").startswith("http:")

    def function(self, role: str) -> str:
        """The name of a role's function."""
        return f"{re.sub(r'[^A-Za-z0-9_-]', '-', self.table)[:50]}-{role}"

    def table_definition(self) -> dict[str, Any]:
        """What CreateTable takes."""
        return definition(self.table) | {"DeletionProtectionEnabled": True}


def queue_attributes(visibility_s: int) -> dict[str, str]:
    """What the queue is made with, but for where the dead go."""
    return {
        "VisibilityTimeout": str(visibility_s),
        "MessageRetentionPeriod": str(KEPT_S),
        "ReceiveMessageWaitTimeSeconds": str(POLL_S),
        "SqsManagedSseEnabled": "true",
    }


def dead_queue_attributes() -> dict[str, str]:
    """What the queue of the dead is made with."""
    return {"MessageRetentionPeriod": str(DEAD_KEPT_S), "SqsManagedSseEnabled": "true"}


def lifecycle() -> list[dict[str, Any]]:
    """The bucket's rules."""
    everything: Mapping[str, Any] = {"Status": "Enabled", "Filter": {"Prefix": ""}}
    return [
        {"ID": "unfinished", **everything, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS}},
        {"ID": "forgotten", **everything, "NoncurrentVersionExpiration": {"NoncurrentDays": FORGOTTEN_DAYS}},
    ]


def tls_only(resources: Any, action: str) -> dict[str, Any]:
    """A policy of a bucket or a queue: nothing without TLS."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "NothingWithoutTls",
                "Effect": "Deny",
                "Principal": "*",
                "Action": action,
                "Resource": resources,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
