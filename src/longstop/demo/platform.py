"""The sender: behaves as Genesys Cloud Open Messaging does, down to giving up.

Facts from the vendor's documentation: `X-Hub-Signature-256` with the base64 of HMAC-SHA256 over the raw body; a
timeout of 10 s; up to five retries, 5 s apart, on timeout, 429 or 5xx; every other 4xx is final. What is not
documented is what a refused or broken connection counts as; here it is what it looks like from afar, no answer.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from longstop.demo.reconcile import Sent
from longstop.ports import Clock
from longstop.testing import payloads

TIMEOUT_S = 10.0
RETRIES = 5
RETRY_EVERY_S = 5.0

REDELIVERED_EVERY = 30
"""One event in so many is sent a second time though it was accepted: a real delivery's log shows that it happens."""
REDELIVERED_AFTER_S = 2.0

_TEXT = json.loads(payloads.load("genesys_open_messaging_text"))
_TYPING = json.loads(payloads.load("genesys_open_messaging_typing"))
_RECEIPT = json.loads(payloads.load("genesys_open_messaging_receipt_failed"))


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return "sha256=" + base64.b64encode(digest).decode()


def compose(number: int, now_ms: int, rng: random.Random) -> Sent:
    """The `number`-th event of the show: a real payload with ids and a time of its own."""
    id_ = f"{rng.getrandbits(128):032x}"
    at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    payload: dict[str, Any] = _template(number)
    event = {**payload, "id": id_, "channel": {**payload["channel"], "messageId": id_, "time": at}}
    if "conversationId" in payload:
        event["conversationId"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    if "text" in payload:
        event["text"] = f"Message {number + 1}"
    return Sent(id_, json.dumps(event).encode())


def _template(number: int) -> dict[str, Any]:
    if number % 40 == 20:
        template = _RECEIPT
    elif number % 6 == 3:
        template = _TYPING
    else:
        template = _TEXT
    assert isinstance(template, dict)
    return template


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int | None
    """None: there was none."""
    body: bytes = b""

    @property
    def worth_a_retry(self) -> bool:
        return self.status is None or self.status == 429 or self.status >= 500


class Platform:
    """Sends events at a steady rate and keeps a book of them.

    session: lends its connections; it is not closed here.
    """

    def __init__(self, url: str, secret: str, session: aiohttp.ClientSession, clock: Clock, rng: random.Random) -> None:
        self._url = url
        self._secret = secret
        self._session = session
        self._clock = clock
        self._rng = rng
        self._book: dict[str, Sent] = {}
        self.duplicates = 0
        """Answers that said: this event is kept already."""

    @property
    def book(self) -> tuple[Sent, ...]:
        """Every event so far, in the order of sending."""
        return tuple(self._book.values())

    async def run(self, events: int, rate_per_s: float) -> None:
        """Send so many events; returns when the last is accepted or given up."""
        began_at_ms = self._clock.now_ms()
        async with asyncio.TaskGroup() as tasks:
            for number in range(events):
                due_at_ms = began_at_ms + number * 1000 / rate_per_s
                await self._clock.sleep(max(0.0, (due_at_ms - self._clock.now_ms()) / 1000))
                tasks.create_task(self.send(number))

    async def send(self, number: int) -> None:
        """Send the `number`-th event, and some of them once more later on."""
        event = compose(number, self._clock.now_ms(), self._rng)
        self._book[event.id] = event
        event_id = await self._hand_over(event.body)
        if event_id is None:
            return
        self._book[event.id] = event.accepted(event_id)
        if number % REDELIVERED_EVERY == REDELIVERED_EVERY // 3:
            await self._clock.sleep(REDELIVERED_AFTER_S)
            await self._hand_over(event.body)

    async def _hand_over(self, body: bytes) -> str | None:
        """Post until there is an answer that ends it; the id in it, or None where it was not accepted."""
        answer = await self._post(body)
        for _ in range(RETRIES):
            if not answer.worth_a_retry:
                break
            await self._clock.sleep(RETRY_EVERY_S)
            answer = await self._post(body)
        if answer.status is None or not 200 <= answer.status < 300:
            return None
        receipt = json.loads(answer.body)
        self.duplicates += receipt["status"] == "duplicate"
        return str(receipt["id"])

    async def _post(self, body: bytes) -> _Answer:
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature(self._secret, body)}
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.post(self._url, data=body, headers=headers, timeout=limit) as response:
                return _Answer(response.status, await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError):
            return _Answer(None)
