"""A load generator of one process: so many keep-alive connections, each one request at a time, for so many seconds.

It speaks HTTP/1.1 on raw sockets, without an event loop: a client library would be the slower half of every
measurement, and what it takes of the second core, a server with more than one thread lacks. The requests are made
before the clock starts.
"""

import base64
import hashlib
import hmac
import json
import re
import select
import socket
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

PAYLOAD = Path(__file__).parent.parent / "src/longstop/testing/payloads/genesys_open_messaging_text.json"
BODY_BYTES = 1_100

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def requests(count: int, host: str, path: str, secret: str, keys: int = 1) -> list[bytes]:
    """Distinct Open Messaging requests of about BODY_BYTES, signed, of so many conversations in turn."""
    event = json.loads(PAYLOAD.read_bytes())
    event["text"] = ""
    event["text"] = "x" * (BODY_BYTES - len(json.dumps(event)))
    made = []
    for number in range(count):
        event["conversationId"] = f"conversation-{number % keys}"
        event["id"] = event["channel"]["messageId"] = uuid.uuid4().hex
        event["channel"]["time"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = json.dumps(event).encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Connection:
    """One connection; it sends the next request when the answer to the last one is complete."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._buffer = b""

    def send(self, request: bytes) -> None:
        """Send one request; it fits into the socket's buffer, which is empty now."""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def status(self) -> int | None:
        """Read what has come: the status of the answer, or None while it is incomplete."""
        data = self._buffer + self.socket.recv(65536)
        if not data:
            raise SystemExit("the server closed a connection")
        head, found, body = data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            self._buffer = data
            return None
        self._buffer = b""
        return int(head[9:12])


def _length(head: bytes) -> int:
    found = _CONTENT_LENGTH.search(head)
    return int(found[1]) if found else 0


def run(host: str, port: int, made: list[bytes], connections: int, seconds: float) -> dict[str, object]:
    """The figures of one run."""
    poll = select.epoll()
    by_fd = {each.socket.fileno(): each for each in (Connection(host, port) for _ in range(connections))}
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    left = iter(made)
    started = time.perf_counter()
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        connection.send(next(left))
    while by_fd:
        for fd, _ in poll.poll():
            connection = by_fd[fd]
            status = connection.status()
            if status is None:
                continue
            now = time.perf_counter()
            statuses[status] += 1
            latencies.append(now - connection.sent_at)
            request = next(left, None) if now < started + seconds else None
            if request is None:
                poll.unregister(fd)
                by_fd.pop(fd).socket.close()
            else:
                connection.send(request)
    elapsed = time.perf_counter() - started
    ordered = sorted(latencies)
    return {
        "requests_per_s": round(len(ordered) / elapsed, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 3),
        "requests": len(ordered),
        "seconds": round(elapsed, 2),
        "statuses": dict(statuses),
    }


def main() -> None:
    host, port, path, secret, connections, seconds, count = sys.argv[1:]
    made = requests(int(count), host, path, secret)
    print(json.dumps(run(host, int(port), made, int(connections), float(seconds))))


if __name__ == "__main__":
    main()
