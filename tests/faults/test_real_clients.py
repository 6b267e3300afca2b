"""The clients that people send webhooks with, in their defaults: every body arrives whole, on one connection too.

Java's HttpClient is why: it offers an upgrade with every request, and its bodies were lost. A client that is not
installed is skipped.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acceptance.harness import Site, hex_signature

HERE = Path(__file__).parent / "clients"
SIZES = (100, 3_000, 1_500_000)
"""The last is one for which curl waits to be asked (Expect: 100-continue)."""
Pair = tuple[str, str]
Commands = Callable[[str, list[Pair]], list[list[str]]]


def script(*words: str) -> Commands:
    """One run posts all files."""
    return lambda url, pairs: [[*words, url, *(word for pair in pairs for word in pair)]]


def each(make: Callable[[str, str, str], list[str]]) -> Commands:
    """One run for each file."""
    return lambda url, pairs: [make(url, file, signature) for file, signature in pairs]


def curl(*options: str) -> Commands:
    said = ["-sS", "-o", os.devnull, "-w", "%{http_code}\\n", "-H", "Content-Type: application/json"]

    def one(url: str, file: str, signature: str) -> list[str]:
        return ["curl", *said, *options, "-H", f"X-Signature: {signature}", "--data-binary", f"@{file}", url]

    return each(one)


def wget(url: str, file: str, signature: str) -> list[str]:
    headers = ["--header=Content-Type: application/json", f"--header=X-Signature: {signature}"]
    return ["wget", "-q", "-O", os.devnull, "--server-response", *headers, f"--post-file={file}", url]


CLIENTS: dict[str, tuple[str, Commands]] = {
    "Java HttpClient": ("java", script("java", str(HERE / "Post.java"), "new")),
    "Java HttpURLConnection": ("java", script("java", str(HERE / "Post.java"), "old")),
    "Go net/http": ("go", script("go", "run", str(HERE / "post.go"))),
    "Node fetch": ("node", script("node", str(HERE / "post.mjs"))),
    "Ruby Net::HTTP": ("ruby", script("ruby", str(HERE / "post.rb"))),
    "PHP streams": ("php", script("php", str(HERE / "post.php"))),
    "Perl HTTP::Tiny": ("perl", script("perl", str(HERE / "post.pl"))),
    **{
        f"Python {name}": (sys.executable, script(sys.executable, str(HERE / "post.py"), name))
        for name in ("urllib", "http.client", "httpx", "aiohttp")
    },
    "curl": ("curl", curl()),
    "curl --http2": ("curl", curl("--http2")),
    "curl --http1.0": ("curl", curl("--http1.0")),
    "curl in chunks": ("curl", curl("-H", "Transfer-Encoding: chunked")),
    "wget": ("wget", each(wget)),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("clients"))
    made.configure()
    made.start("ingest").ready()
    try:
        yield made
    finally:
        made.close()


def bodies(client: str) -> list[bytes]:
    documents = ({"id": f"{client}-{size}", "text": "é" * size} for size in SIZES)
    return [json.dumps(each, ensure_ascii=False).encode() for each in documents]


@functools.cache
def works(program: str) -> bool:
    return shutil.which(program) is not None


@pytest.mark.parametrize("client", CLIENTS)
def test_every_body_arrives_whole(site: Site, tmp_path: Path, client: str) -> None:
    program, commands = CLIENTS[client]
    if not works(program):
        pytest.skip(f"there is no {program}")
    sent, pairs = bodies(client), []
    for number, body in enumerate(sent):
        file = tmp_path / f"{number}.json"
        file.write_bytes(body)
        pairs.append((str(file), hex_signature(body)["X-Signature"]))
    before = {row["id"] for row in site.ask("events", "list", "--limit", "1000").rows}
    url = f"http://127.0.0.1:{site.port}/webhooks/shop"
    environ = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "no_proxy": "127.0.0.1"}
    for command in commands(url, pairs):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ, check=False)
        assert ran.returncode == 0, ran.stderr
    rows = [row for row in site.ask("events", "list", "--limit", "1000").rows if row["id"] not in before]
    assert all(row["dedup"].startswith(client) for row in rows)
    arrived = {site.cli("events", "show", row["id"], "--raw").out for row in rows}
    assert arrived == set(sent)
