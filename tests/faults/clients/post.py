"""Posts files with Python's clients in their defaults: post.py CLIENT URL (FILE SIGNATURE)..."""

import asyncio
import http.client
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

Posts = Iterator[tuple[bytes, dict[str, str]]]


def with_urllib(url: str, posts: Posts) -> None:
    for body, headers in posts:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            print(answer.status)


def with_http_client(url: str, posts: Posts) -> None:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    for body, headers in posts:
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        answer.read()
        print(answer.status)


def with_httpx(url: str, posts: Posts) -> None:
    import httpx

    with httpx.Client() as client:
        for body, headers in posts:
            print(client.post(url, content=iter([body[:100], body[100:]]), headers=headers).status_code)


def with_aiohttp(url: str, posts: Posts) -> None:
    import aiohttp

    async def post() -> None:
        async with aiohttp.ClientSession() as session:
            for body, headers in posts:
                async with session.post(url, data=body, headers=headers) as answer:
                    print(answer.status)

    asyncio.run(post())


if __name__ == "__main__":
    client, url, *pairs = sys.argv[1:]
    made = (
        (Path(file).read_bytes(), {"Content-Type": "application/json", "X-Signature": signature})
        for file, signature in zip(pairs[::2], pairs[1::2], strict=True)
    )
    clients = {"urllib": with_urllib, "http.client": with_http_client, "httpx": with_httpx, "aiohttp": with_aiohttp}
    clients[client](url, made)
