"""A load generator of one process: so many keep-alive connections, each one request at a time, for so many seconds.

It speaks HTTP/1.1 on raw sockets, because a client library would be the slower half of every measurement.
The requests are made before the clock starts.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAYLOAD = Path(__file__).parent.parent / "src/longstop/testing/payloads/genesys_open_messaging_text.json"
BODY_BYTES = 1_100


def requests(count: int, host: str, path: str, secret: str) -> list[bytes]:
    """Distinct Open Messaging requests of about BODY_BYTES, signed."""
    event = json.loads(PAYLOAD.read_bytes())
    event["text"] = ""
    event["text"] = "x" * (BODY_BYTES - len(json.dumps(event)))
    made = []
    for _ in range(count):
        event["id"] = event["channel"]["messageId"] = uuid.uuid4().hex
        body = json.dumps(event).encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        marker = head.lower().find(b"content-length:")
        length = int(head[marker + 15 :].split(b"\r\n", 1)[0]) if marker >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = b""
        self._load.answered(int(head[9:12]), time.perf_counter() - self._sent_at)
        self._next()

    def _next(self) -> None:
        request = self._load.take()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class Load:
    """What is sent, until when, and what came back."""

    def __init__(self, made: list[bytes], seconds: float) -> None:
        self._made: Iterator[bytes] = itertools.chain(made)
        self._until = time.perf_counter() + seconds
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []

    def take(self) -> bytes | None:
        return next(self._made, None) if time.perf_counter() < self._until else None

    def answered(self, status: int, latency_s: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(latency_s)


async def run(host: str, port: int, made: list[bytes], connections: int, seconds: float) -> dict[str, object]:
    """The figures of one run."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    load = Load(made, seconds)
    pairs = [await loop.create_connection(lambda: Connection(load), host, port) for _ in range(connections)]
    await asyncio.gather(*(protocol.closed for _, protocol in pairs))
    elapsed = time.perf_counter() - started
    ordered = sorted(load.latencies)
    return {
        "requests_per_s": round(len(ordered) / elapsed, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 3),
        "requests": len(ordered),
        "seconds": round(elapsed, 2),
        "statuses": dict(load.statuses),
    }


def main() -> None:
    host, port, path, secret, connections, seconds, count = sys.argv[1:]
    made = requests(int(count), host, path, secret)
    try:
        import uvloop

        figures = uvloop.run(run(host, int(port), made, int(connections), float(seconds)))
    except ImportError:
        figures = asyncio.run(run(host, int(port), made, int(connections), float(seconds)))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
