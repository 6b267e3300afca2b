"""Strangers who want all of a gateway's connection side: `python strangers.py ATTACK PORT SECONDS`.

A process of its own, so that what it costs to attack is not taken for what it costs to be attacked. It stops by itself.
"""

import contextlib
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator

MEBIBYTE = 1024 * 1024
ADDRESSES = 40
"""Strangers come from so many: 127.0.0.0/8 is all loopback."""
IDLE = 600

Feed = Iterator[bytes]


def forever(piece: bytes, head: bytes = b"", size: int = 256 * 1024) -> Callable[[], Feed]:
    def feed() -> Feed:
        yield head
        block = piece * max(1, size // len(piece))
        while True:
            yield block

    return feed


def then_silence(head: bytes, size: int) -> Callable[[], Feed]:
    def feed() -> Feed:
        yield head
        for _ in range(size // MEBIBYTE):
            yield b"x" * MEBIBYTE

    return feed


HOST = b" HTTP/1.1\r\nhost: h\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
POST = b"POST /webhooks/shop" + HOST
# Attack: what each connection sends, how many there are, and whether they read what is answered.
ATTACKS: dict[str, tuple[Callable[[], Feed], int, bool]] = {
    "nowhere": (forever(b"GET /x" + HOST + b"\r\n"), 4, True),
    "health": (forever(b"GET /healthz" + HOST + b"\r\n"), 4, True),
    "options": (forever(b"OPTIONS /webhooks/shop" + HOST + b"\r\n"), 4, True),
    "unread": (forever(b"GET /x" + HOST + b"\r\n"), 16, False),
    "upgrades": (forever(b"GET /x" + HOST + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"), 4, True),
    "trailers": (forever(b"x-y: z\r\n", POST + CHUNKED + b"1\r\n{\r\n0\r\n"), 4, True),
    "one trailer": (forever(b"x", POST + CHUNKED + b"1\r\n{\r\n0\r\nx: "), 4, True),
    "trailers to nowhere": (forever(b"x-y: z\r\n", b"POST /nowhere" + HOST + CHUNKED + b"0\r\n"), 4, True),
    "extensions": (forever(b"x", POST + CHUNKED + b"1;"), 4, True),
    "blank lines": (forever(b"\r\n"), 4, True),
    "tiny chunks": (forever(b"2\r\nxy\r\n", POST + CHUNKED), 4, True),
    "unfinished": (then_silence(POST + b"content-length: 10485760\r\n\r\n", 9 * MEBIBYTE), ADDRESSES, True),
    "idle": (then_silence(b"", 0), IDLE, True),
}


class Stranger:
    """One connection, made anew when it is closed."""

    def __init__(self, number: int, port: int, feed: Callable[[], Feed], reads: bool) -> None:
        self._number, self._port, self._make, self._reads = number, port, feed, reads
        self.connect()

    def connect(self) -> None:
        self.socket = socket.socket()
        self.socket.bind((f"127.0.1.{self._number % ADDRESSES + 1}", 0))
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", self._port))
        self.socket.setblocking(False)
        self._feed, self._left = self._make(), b""

    def go_on(self, events: int) -> bool:
        """Whether it is still connected."""
        try:
            if events & selectors.EVENT_READ and self._reads and not self.socket.recv(MEBIBYTE):
                return False
            if events & selectors.EVENT_WRITE:
                self._left = self._left or next(self._feed, b"")
                self._left = self._left[self.socket.send(self._left) :] if self._left else b""
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def attack(name: str, port: int, seconds: float) -> None:
    feed, count, reads = ATTACKS[name]
    end = time.monotonic() + seconds
    selector = selectors.DefaultSelector()
    both = selectors.EVENT_READ * reads | selectors.EVENT_WRITE
    for number in range(count):
        with contextlib.suppress(OSError):
            stranger = Stranger(number, port, feed, reads)
            selector.register(stranger.socket, both, stranger)
    print("attacking", flush=True)
    while time.monotonic() < end:
        for key, events in selector.select(0.1):
            stranger = key.data
            if not stranger.go_on(events):
                selector.unregister(stranger.socket)
                stranger.socket.close()
                with contextlib.suppress(OSError):
                    stranger.connect()
                    selector.register(stranger.socket, both, stranger)


if __name__ == "__main__":
    attack(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
