"""Python's clients, in their defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.

Two of Rust's are among them: what `pyreqwest` and `pyureq` are asked to send, reqwest and ureq send.
"""

import asyncio
import http.client
import importlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

Job = tuple[str, dict[str, str], bytes]


def pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


def via_urllib(jobs: list[Job]) -> None:
    for url, headers, body in jobs:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            print(response.status, response.read().decode())


def via_http_client(jobs: list[Job], chunked: bool) -> None:
    connection = http.client.HTTPConnection(urlsplit(jobs[0][0]).netloc)
    for url, headers, body in jobs:
        # Without a length it is chunked, which is what `requests` makes of a generator too.
        connection.request("POST", urlsplit(url).path, pieces(body) if chunked else body, headers)
        response = connection.getresponse()
        print(response.status, response.read().decode())


def via_httpx(jobs: list[Job], chunked: bool) -> None:
    import httpx

    with httpx.Client() as client:
        for url, headers, body in jobs:
            response = client.post(url, content=pieces(body) if chunked else body, headers=headers)
            print(response.status_code, response.text)


def via_reqwest(jobs: list[Job], chunked: bool) -> None:
    with importlib.import_module("pyreqwest.client").SyncClientBuilder().build() as client:
        for url, headers, body in jobs:
            request = client.post(url).headers(headers)
            made = request.body_stream(pieces(body)) if chunked else request.body_bytes(body)
            response = made.build().send()
            print(response.status, response.text())


def via_ureq(jobs: list[Job]) -> None:
    session = importlib.import_module("pyureq").Session()
    for url, headers, body in jobs:
        response = session.post(url, data=body, headers=headers)
        print(response.status_code, response.text)


async def via_aiohttp(jobs: list[Job]) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for url, headers, body in jobs:
            async with session.post(url, data=body, headers=headers) as response:
                print(response.status, await response.text())


def main() -> None:
    sys.path.append(str(Path(sys.prefix) / "clients"))
    mode, *rest = sys.argv[1:]
    jobs = [
        (rest[at], dict([rest[at + 1].split(": ", 1)]), Path(rest[at + 2]).read_bytes())
        for at in range(0, len(rest), 3)
    ]
    if mode == "urllib":
        via_urllib(jobs)
    elif mode.startswith("http.client"):
        via_http_client(jobs, mode.endswith("chunked"))
    elif mode.startswith("httpx"):
        via_httpx(jobs, mode.endswith("chunked"))
    elif mode.startswith("reqwest"):
        via_reqwest(jobs, mode.endswith("chunked"))
    elif mode == "ureq":
        via_ureq(jobs)
    else:
        asyncio.run(via_aiohttp(jobs))


if __name__ == "__main__":
    main()
