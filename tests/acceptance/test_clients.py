"""Real clients as senders, in their defaults: whatever they put around a body, it arrives whole.

Each posts a small body, a large one and a small one again, over one connection where it keeps that, to a source with
a token and to one with a signature. docs/clients.md is the table of what is unusual about each.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from acceptance.harness import LIMIT_S, PROOFS, Site
from acceptance.needs import needs

PYTHON = sys.executable
CLIENTS = Path(__file__).parent / "clients"
JARS = Path("/usr/share/java")
PACKAGES = Path(sys.prefix) / "clients"
"""Where .ci/run puts clients that come as Python packages: beside what the program is tested with, not among it."""
DOTNET = PACKAGES / "dotnetcore2" / "bin" / "dotnet"
ASSEMBLY = "{assembly}"
"""Stands in a command for client.cs, compiled."""
pytestmark = pytest.mark.any_store
SOURCES = ("anything", "shop")
SMALL, LARGE = 1_024, 300_000


@dataclass(frozen=True)
class Client:
    """How one is run: the command, before URL, header and file of each request; or for a single request, after it."""

    command: tuple[str, ...]
    wants: tuple[str, ...] = ()
    """What has to be installed, if it is not the command."""

    def need(self) -> None:
        needs(*(self.wants or self.command[:1]))


def jdk(mode: str) -> Client:
    return Client(("java", str(CLIENTS / "JavaClient.java"), mode))


def jar(program: str, mode: str, *names: str) -> Client:
    files = [str(JARS / f"{name}.jar") for name in names]
    # No warning about a logger that nobody asked for.
    command = ("java", "-cp", ":".join(files), str(CLIENTS / program), mode)
    return Client(command, ("java", *files))


def apache(mode: str) -> Client:
    return jar("ApacheClient.java", mode, "httpclient5", "httpcore5", "httpcore5-h2", "slf4j-api")


def spring(mode: str) -> Client:
    return jar("SpringClient.java", mode, "spring3-web", "spring3-core", "spring3-beans", "commons-logging")


def dotnet(mode: str) -> Client:
    runtime = (str(DOTNET), "exec", "--runtimeconfig", str(CLIENTS / "client.runtimeconfig.json"))
    return Client((*runtime, ASSEMBLY, mode), (str(DOTNET), "mcs"))


def mono(mode: str) -> Client:
    return Client(("mono", ASSEMBLY, mode), ("mono", "mcs"))


def rust(package: str, mode: str) -> Client:
    return Client((PYTHON, str(CLIENTS / "client.py"), mode), (str(PACKAGES / package),))


def script(program: str, file: str, mode: str, *more: str) -> Client:
    return Client((program, *more, str(CLIENTS / file), mode))


MANY = {
    "Java HttpClient": jdk("sized"),
    "Java HttpClient, stream": jdk("streamed"),
    "Java HttpURLConnection": jdk("old"),
    "Java HttpURLConnection, chunked": jdk("old-chunked"),
    "Apache HttpClient": apache("sized"),
    "Apache HttpClient, stream": apache("chunked"),
    "OkHttp": jar("OkClient.java", "sized", "okhttp", "okio"),
    "OkHttp, stream": jar("OkClient.java", "chunked", "okhttp", "okio"),
    "Spring RestTemplate": spring("bytes"),
    "Spring RestTemplate, text": spring("text"),
    ".NET HttpClient": dotnet("sized"),
    ".NET HttpClient, chunked": dotnet("chunked"),
    ".NET HttpWebRequest": dotnet("old"),
    "Mono HttpClient": mono("sized"),
    "Mono HttpClient, chunked": mono("chunked"),
    "Mono HttpWebRequest": mono("old"),
    "Rust reqwest": rust("pyreqwest", "reqwest"),
    "Rust reqwest, chunked": rust("pyreqwest", "reqwest-chunked"),
    "Rust ureq": rust("pyureq", "ureq"),
    "Node fetch": script("node", "client.mjs", "fetch"),
    "Node fetch, stream": script("node", "client.mjs", "fetch-stream"),
    "Node http.request": script("node", "client.mjs", "request"),
    "Node http.request, chunked": script("node", "client.mjs", "request-chunked"),
    "Python urllib": script(PYTHON, "client.py", "urllib"),
    "Python http.client": script(PYTHON, "client.py", "http.client"),
    "Python http.client, chunked": script(PYTHON, "client.py", "http.client-chunked"),
    "Python httpx": script(PYTHON, "client.py", "httpx"),
    "Python httpx, chunked": script(PYTHON, "client.py", "httpx-chunked"),
    "Python aiohttp": script(PYTHON, "client.py", "aiohttp"),
    "PHP streams": script("php", "client.php", "streams"),
    "PHP curl": script("php", "client.php", "curl"),
    "Ruby net/http": script("ruby", "client.rb", "sized"),
    "Ruby net/http, chunked": script("ruby", "client.rb", "chunked"),
    "Perl LWP": Client(("perl", str(CLIENTS / "client.pl"), "lwp"), ("perl", "/usr/share/perl5/LWP.pm")),
    "Perl HTTP::Tiny": script("perl", "client.pl", "tiny"),
    "Perl HTTP::Tiny, chunked": script("perl", "client.pl", "chunked"),
    "Go net/http": script("go", "client.go", "sized", "run"),
    "Go net/http, chunked": script("go", "client.go", "chunked", "run"),
}
"""Programs of ours that use a client's library. They print status and body of each answer, a line each."""

_CURL = ("curl", "--silent", "--show-error", "--header", "{proof}")
ONE = {
    "curl": (*_CURL, "--data-binary", "@{file}", "{url}"),
    "curl --http2": (*_CURL, "--http2", "--data-binary", "@{file}", "{url}"),
    "curl -T, chunked": (*_CURL, "--request", "POST", "--upload-file", "-", "{url}"),
    "curl, Expect": (*_CURL, "--header", "Expect: 100-continue", "--data-binary", "@{file}", "{url}"),
    "wget": ("wget", "--quiet", "--output-document=-", "--header={proof}", "--post-file={file}", "{url}"),
}
"""Programs that post: the words of one request, and nothing but the answer's body on standard output."""


@dataclass(frozen=True)
class Job:
    """One request that a client is to make."""

    url: str
    proof: str
    file: Path
    body: bytes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, new_store: Callable[[], str]) -> Iterator[Site]:
    """One gateway for all clients."""
    made = Site(tmp_path_factory.mktemp("clients"), new_store())
    try:
        made.start("ingest").ready()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def assembly(site: Site) -> Callable[[], str]:
    """client.cs compiled, when it is asked for first. What one compiler made runs on both .NET and Mono."""

    @functools.cache
    def compiled() -> str:
        made = site.folder / "client.exe"
        ran(["mcs", "-nologo", f"-out:{made}", "-reference:System.Net.Http", str(CLIENTS / "client.cs")])
        return str(made)

    return compiled


def jobs(site: Site, name: str) -> list[Job]:
    """For both sources a small body, a large one and a small one, none of them like another."""
    made = []
    for number, (source, size) in enumerate((source, size) for source in SOURCES for size in (SMALL, LARGE, SMALL)):
        stem = f"{hashlib.sha256(name.encode()).hexdigest()[:8]}-{number}"
        body = json.dumps({"id": stem, "text": "é ü 漢\r\n0\r\n\r\n"}, ensure_ascii=False).encode()
        body += b" " * (size - len(body))
        file = site.folder / stem
        file.write_bytes(body)
        ((header, value),) = PROOFS[source](body).items()
        made.append(Job(f"http://127.0.0.1:{site.port}/webhooks/{source}", f"{header}: {value}", file, body))
    return made


def ran(command: list[str], stdin: Path | None = None) -> str:
    """What a program wrote, that has to leave with 0."""
    with (stdin or Path(os.devnull)).open("rb") as given:
        # Go compiles its whole library first.
        done = subprocess.run(command, stdin=given, capture_output=True, timeout=3 * LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def assert_whole(site: Site, sent: list[Job], answers: list[str]) -> None:
    """Each was accepted, and what is kept of it is what was sent."""
    assert len(answers) == len(sent), answers
    for job, answer in zip(sent, answers, strict=True):
        said = json.loads(answer)
        assert said["status"] == "accepted", said
        assert site.raw(said["id"]) == job.body


@pytest.mark.parametrize("name", MANY)
def test_bodies_of_a_library_s_client_arrive_whole(name: str, site: Site, assembly: Callable[[], str]) -> None:
    client = MANY[name]
    client.need()
    sent = jobs(site, name)
    words = [word for job in sent for word in (job.url, job.proof, str(job.file))]
    command = [assembly() if word == ASSEMBLY else word for word in client.command]
    lines = ran([*command, *words]).splitlines()
    assert [line[:4] for line in lines] == ["200 "] * len(sent), lines
    assert_whole(site, sent, [line[4:] for line in lines])


@pytest.mark.parametrize("name", ONE)
def test_bodies_of_a_program_arrive_whole(name: str, site: Site) -> None:
    needs(ONE[name][0])
    sent = jobs(site, name)
    answers = []
    for job in sent:
        words = [word.format(proof=job.proof, file=job.file, url=job.url) for word in ONE[name]]
        answers.append(ran(words, job.file if "-" in words else None))
    assert_whole(site, sent, answers)


def test_curl_posts_twice_over_one_connection(site: Site) -> None:
    needs("curl")
    sent = jobs(site, "curl, one connection")
    words = [["--header", job.proof, "--data-binary", f"@{job.file}", "--write-out", "\n", job.url] for job in sent]
    command = ["curl", "--silent", *words[0], *(word for more in words[1:] for word in ("--next", "--silent", *more))]
    assert_whole(site, sent, ran(command).split())


def test_the_page_has_a_row_for_each_client() -> None:
    page = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:] == [*MANY, *ONE]
