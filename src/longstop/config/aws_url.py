"""`store.url = "aws://REGION?table=…"`: which table, queue and bucket, and what is asked of them."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from longstop.config.errors import Fault, quoted
from longstop.config.url_options import options_of
from longstop.config.values import Surroundings, expand, size

SCHEMES = ("aws",)
EXPECTED = "aws://REGION?table=NAME[&queue=NAME][&bucket=NAME], with other options behind them"
BODIES_OVER = 64 * 2**10
"""Larger bodies go to the bucket: what a table writes costs by the kilobyte, and what a bucket does not."""
BODY_BYTES_MAX = 350 * 2**10
"""Without a bucket no body may be larger: an item holds 400 KB with all that belongs to it.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
SHARDS = 8
SHARDS_MOST = 64
_OPTIONS = ("bodies_over", "bucket", "endpoint", "queue", "shards", "table")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """A table, and what stands beside it. Credentials are found where every program on AWS finds them."""

    region: str
    table: str
    queue: str | None = None
    """By whose messages workers are woken, and functions are called; None: workers look by themselves."""
    bucket: str | None = None
    """For bodies larger than `bodies_over` bytes."""
    bodies_over: int = BODIES_OVER
    endpoint: str | None = None
    """Where all of the services are, in the place of Amazon's own."""
    shards: int = SHARDS
    """Into so many partitions of 1,000 writes a second what waits is spread, of a table that is new."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        beside = [f"{what} {name}" for what, name in (("queue", self.queue), ("bucket", self.bucket)) if name]
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"aws://{self.region}, {', '.join([f'table {self.table}', *beside])}{at}"

    @property
    def body_bytes_max(self) -> int | None:
        """How large a body may be; None: as its source says."""
        return BODY_BYTES_MAX if self.bucket is None else None


def aws(text: str, around: Surroundings) -> AwsSettings:
    """What a URL asks for. Raises Fault."""
    parts = urlsplit(expand(text, around.environ, "it to hold a part of store.url"))
    if "@" in parts.netloc:
        # It is not shown: somebody took it for a secret.
        raise Fault(
            "found a user's name or a key in store.url", EXPECTED, "credentials are found where AWS' own tools do"
        )
    if parts.path.strip("/") or parts.fragment or not _REGION.fullmatch(parts.netloc):
        raise Fault(f"found {quoted(parts.netloc + parts.path)} as the region", EXPECTED, "such as eu-central-1")
    options = options_of(parts.query, _OPTIONS)
    if "table" not in options:
        raise Fault("found a store of aws:// without table=", EXPECTED, "longstop aws init makes one")
    if options.get("queue", "").endswith(".fifo"):
        why = "the table keeps the order, and one of FIFO takes 300 messages a second"
        raise Fault(f"found queue={quoted(options['queue'])}, which is FIFO", f"a standard queue: {why}")
    return AwsSettings(
        region=parts.netloc,
        table=_named("table", options["table"], _TABLE, "3 to 255 letters, digits, _ . -"),
        queue=_maybe("queue", options, _QUEUE, "a queue's name: 1 to 80 letters, digits, _ -"),
        bucket=_maybe("bucket", options, _BUCKET, "a bucket's name: 3 to 63 small letters, digits, . -"),
        bodies_over=_bodies_over(options),
        endpoint=_endpoint(options.get("endpoint")),
        shards=_shards(options.get("shards", str(SHARDS))),
    )


def _named(what: str, text: str, form: re.Pattern[str], expected: str) -> str:
    if not form.fullmatch(text):
        raise Fault(f"found {what}={quoted(text)}", expected)
    return text


def _maybe(what: str, options: dict[str, str], form: re.Pattern[str], expected: str) -> str | None:
    return _named(what, options[what], form, expected) if what in options else None


def _bodies_over(options: dict[str, str]) -> int:
    if "bodies_over" not in options:
        return BODIES_OVER
    if "bucket" not in options:
        raise Fault("found bodies_over without bucket", "bucket=NAME, where the larger ones go")
    return size(options["bodies_over"], BODY_BYTES_MAX, "350KiB")


def _endpoint(text: str | None) -> str | None:
    if text is None:
        return None
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise Fault("found a user's name or a password in endpoint=", "http://HOST:PORT, or https://HOST")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise Fault(f"found endpoint={quoted(text)}", "http://HOST:PORT of an emulator, or https://… of a VPC endpoint")
    return text


def _shards(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or not 1 <= int(text) <= SHARDS_MOST:
        raise Fault(f"found shards={quoted(text)}", f"a whole number from 1 to {SHARDS_MOST}")
    return int(text)
