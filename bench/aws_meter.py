"""What calls of AWS come to, counted before an emulator: calls, units of DynamoDB, dollars by AWS's list prices.

An emulator says by the rules that AWS documents how many units a call takes; nobody has seen a bill. What is left out:
storage, backups, traffic, functions and the HTTP API.
"""

import asyncio
import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from aiohttp import ClientSession, web

DOLLARS_A_MILLION = {"write units": 0.625, "read units": 0.125, "queue requests": 0.40}
"""US East (N. Virginia), on demand, no free tier; https://aws.amazon.com/dynamodb/pricing/on-demand/ and
https://aws.amazon.com/sqs/pricing/, as of November 2026."""
QUEUE_REQUEST_BYTES = 65_536
"""A call with more counts as several requests; https://aws.amazon.com/sqs/pricing/."""
_MAX_BYTES = 2**24


@dataclass
class Meter:
    """What has gone through."""

    calls: Counter[str] = field(default_factory=Counter)
    units: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def row(self, events: int) -> dict[str, Any]:
        """An event's share, and what a million of them cost."""
        each = {name: round(self.units[name] / events, 2) for name in DOLLARS_A_MILLION}
        dollars = sum(self.units[name] / events * price for name, price in DOLLARS_A_MILLION.items())
        calls = {name: round(count / events, 4) for name, count in self.calls.most_common()}
        return {"calls": round(self.calls.total() / events, 3), "dollars a million": round(dollars, 2)} | each | calls

    async def _pass(self, request: web.Request, to: str, client: ClientSession) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        body = await request.read()
        if target.startswith("DynamoDB"):
            body = json.dumps(json.loads(body) | {"ReturnConsumedCapacity": "TOTAL"}).encode()
        kept = {name: text for name, text in request.headers.items() if name.lower() not in ("host", "content-length")}
        async with client.request(request.method, to + request.path_qs, data=body, headers=kept) as answer:
            said = await answer.read()
            self._note(target, len(body), said)
            dropped = ("content-length", "transfer-encoding", "content-encoding", "x-amz-crc32")
            headers = {name: text for name, text in answer.headers.items() if name.lower() not in dropped}
            return web.Response(status=answer.status, body=said, headers=headers)

    def _note(self, target: str, size: int, said: bytes) -> None:
        operation = target.rpartition(".")[2]
        self.calls[operation] += 1
        if target.startswith("AmazonSQS"):
            self.units["queue requests"] += max(1, math.ceil(size / QUEUE_REQUEST_BYTES))
            return
        used = json.loads(said).get("ConsumedCapacity") or []
        kind = (
            "write units" if "Write" in operation or operation.startswith(("Put", "Update", "Delete")) else "read units"
        )
        for each in used if isinstance(used, list) else [used]:
            self.units[kind] += float(each["CapacityUnits"])


@contextmanager
def metered(url: str) -> Iterator[tuple[str, Meter]]:
    """The URL of a store behind a meter, and the meter. url: what `[store] url` takes, with an `endpoint`."""
    parts = urlsplit(url)
    before, _, endpoint = parts.query.partition("endpoint=")
    meter = Meter()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    port: list[int] = []

    async def serve() -> None:
        async with ClientSession(auto_decompress=True) as client:
            app = web.Application(client_max_size=_MAX_BYTES)
            app.router.add_route("*", "/{tail:.*}", lambda request: meter._pass(request, endpoint, client))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port.append(runner.addresses[0][1])
            ready.set()
            await stopped.wait()
            await runner.cleanup()

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield urlunsplit(parts._replace(query=f"{before}endpoint=http://127.0.0.1:{port[0]}")), meter
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
