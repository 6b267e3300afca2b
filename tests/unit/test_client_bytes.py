"""Requests byte for byte as clients in wide use write them, where that is unusual: the body is read whole, and so is
the next request of that connection.

Taken down from the clients themselves, which tests/acceptance/test_clients.py runs where they are installed.
"""

import json

import pytest
from test_http_server import BODY, SIGNED, Client, Served, served

__all__ = ["served"]

SIZED = b"%s"
CHUNKED = b"%x\r\n%%s\r\n0\r\n\r\n" % len(BODY)
HEADS = {
    "Java 17 HttpClient": (
        b"Connection: Upgrade, HTTP2-Settings\r\nContent-Length: {length}\r\nHost: 127.0.0.1:8080\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\n"
        b"User-Agent: Java-http-client/17.0.15\r\n"
    ),
    "Java 17 HttpClient, stream": (
        b"Connection: Upgrade, HTTP2-Settings\r\nHost: 127.0.0.1:8080\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nTransfer-encoding: chunked\r\n"
        b"Upgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n"
    ),
    "curl 7.88 --http2": (
        b"Host: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: {length}\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
    ),
    "curl 7.88 -T -": (
        b"Host: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n"
        b"Expect: 100-continue\r\n"
    ),
    "libwww-perl 6.68": (
        b"TE: deflate,gzip;q=0.3\r\nKeep-Alive: 300\r\nConnection: Keep-Alive, TE\r\nHost: 127.0.0.1:8080\r\n"
        b"User-Agent: libwww-perl/6.68\r\nContent-Length: {length}\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
    ),
    "Java 17 HttpURLConnection": (
        b"User-Agent: Java/17.0.15\r\nHost: 127.0.0.1:8080\r\nAccept: text/html, image/gif, image/jpeg, */*; q=0.2\r\n"
        b"Connection: keep-alive\r\nContent-type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
    ),
    "Mono 6.8 HttpWebRequest": (
        b"Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: keep-alive\r\nHost: 127.0.0.1:8080\r\n"
    ),
    ".NET Core 3.1 HttpClient, chunked": b"Host: 127.0.0.1:8080\r\nTransfer-Encoding: chunked\r\n",
    "ureq 3.3": (
        b"content-length: {length}\r\nhost: 127.0.0.1:8080\r\nconnection: keep-alive\r\naccept-encoding: gzip\r\n"
        b"accept: */*\r\nuser-agent: pyureq/0.1.7\r\n"
    ),
    "a websocket client": (
        b"Host: 127.0.0.1:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: {length}\r\n"
    ),
}


async def final_answer(client: Client) -> tuple[int, bytes]:
    """What comes after interim answers."""
    while True:
        status, _, body = await client.answer()
        if status != 100:
            return status, body


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_client_s_body_is_read_whole_and_so_is_the_next(name: str, pieces: int, served: Served) -> None:
    head = HEADS[name].replace(b"{length}", b"%d" % len(BODY))
    framed = (CHUNKED if b"chunked" in head else SIZED) % BODY
    request = b"POST /webhooks/shop HTTP/1.1\r\n%s%s\r\n\r\n%s" % (head, SIGNED, framed)
    client = await served.connect()
    step = -(-len(request) // pieces)
    for status in ("accepted", "duplicate"):
        for start in range(0, len(request), step):
            client.write(request[start : start + step])
        code, said = await final_answer(client)
        assert (code, json.loads(said).get("status")) == (200, status)
    assert (await served.gate.store.event(json.loads(said)["id"])).event.body == BODY
    client.close()
