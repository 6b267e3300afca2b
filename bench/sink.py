"""The destination of the deliver bench: it answers 200 at once and remembers when each event came.

    python bench/sink.py PORT

`GET /` gives the arrivals since the last time it was asked: event id to seconds of the system-wide monotonic clock.
"""

import asyncio
import json
import re
import sys
import time

_ID = re.compile(rb'"id": ?"([0-9a-f]{32})"')
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
arrivals: dict[str, float] = {}


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._complete()) is not None:
            self._answer(request)

    def _complete(self) -> bytes | None:
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(body) < size:
            return None
        request, self._buffer = head + found + body[:size], body[size:]
        return request

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            told = json.dumps(arrivals).encode()
            arrivals.clear()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told) + told)
            return
        id_ = _ID.search(request)
        if id_ is not None:
            arrivals.setdefault(id_[1].decode(), time.perf_counter())
        self._transport.write(_OK)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
