"""What strangers and forgers leave behind: no secret anywhere, and neither a full disk nor a slow gateway."""

import base64
import concurrent.futures
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acceptance.harness import LIMIT_S, Site, wait_until
from longstop.clock import SystemClock
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.model.simulated_request import token_request

BODY = b'{"id": "e-1"}'
FORM = b"MessageSid=SM1&SmsStatus=delivered"
KEY = base64.b64encode(b"canary-of-standard-webhooks-0123").decode()
SOURCES = [
    SourceSettings("in-header", "generic", ("canary-of-header",), VerifySettings("header", "X-Shop-Key")),
    SourceSettings("in-basic", "generic", ("shop:canary-of-basic",), VerifySettings("basic")),
    SourceSettings("in-bearer", "generic", ("canary-of-bearer",), VerifySettings("bearer")),
    *(
        SourceSettings(f"in-{name}", "generic", (f"canary-of-{name}",), VerifySettings(name, "X-Signature"))
        for name in ("hmac-sha1", "hmac-sha256", "hmac-sha512")
    ),
    SourceSettings("slack", "slack", ("canary-of-slack",)),
    SourceSettings("stripe", "stripe", ("canary-of-stripe",)),
    SourceSettings("github", "github", ("canary-of-github",)),
    SourceSettings("standard", "standard-webhooks", (f"whsec_{KEY}",)),
    SourceSettings("twilio", "twilio", ("canary-of-twilio",), public_url="https://hooks.example/webhooks/twilio"),
    SourceSettings("byoc", "cxone-byoc", ("canary-of-byoc",), client_id="client"),
]
FLOOD = 3_000


def rotated(settings: SourceSettings) -> SourceSettings:
    """With the secret that the sender has changed to, and that is not configured."""
    secret = settings.secrets[0]
    changed = f"whsec_{base64.b64encode(b'canary-of-the-rotated-standard-1').decode()}"
    return replace(settings, secrets=(changed if secret.startswith("whsec_") else f"{secret}-rotated",))


def canaries() -> Iterator[bytes]:
    """Every secret, and what else shows one."""
    for settings in SOURCES:
        for secret in (*settings.secrets, *rotated(settings).secrets):
            yield secret.encode()
            yield secret.removeprefix("whsec_").partition(":")[2].encode() or secret.removeprefix("whsec_").encode()
            yield base64.b64encode(secret.encode())
    yield b"canary-of-standard-webhooks"
    yield b"canary"


def toml(settings: SourceSettings) -> str:
    """The source's table; it keeps and holds as much of what is refused as it can."""
    lines = [f"[sources.{settings.name}]", f'kind = "{settings.kind}"', f'secrets = ["{settings.secrets[0]}"]']
    if settings.verify is not None:
        header = f', header = "{settings.verify.header}"' if settings.verify.header else ""
        lines.append(f'verify = {{ scheme = "{settings.verify.scheme}"{header} }}')
    for name in ("client_id", "public_url"):
        if getattr(settings, name) is not None:
            lines.append(f'{name} = "{getattr(settings, name)}"')
    if settings.kind != "cxone-byoc":
        lines.append('on_unverified = "hold"')
    return "\n".join(["", *lines, "keep_rejected_bodies = true", ""])


def send_in_every_way(site: Site, settings: SourceSettings) -> None:
    """As it should be, with another secret, to another name, under another header, twice, and in the URL."""
    body = FORM if settings.kind == "twilio" else BODY
    now_ms = SystemClock().now_ms()
    path = f"/webhooks/{settings.name}"
    if (asked := token_request(settings)) is not None:
        token = json.loads(site.request("POST", path + asked[0], asked[1], {}).body)["access_token"]
        wrong = token_request(rotated(settings))
        assert wrong is not None
        assert site.request("POST", path + wrong[0], wrong[1], {}).status == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert site.request("POST", f"{path}/posts/p/messages", body, bearer).status == 200
        assert site.request("POST", "/webhooks/byc/posts/p/messages", body, bearer).status in (401, 404)
        return
    right = dict(sign(settings, body, now_ms))
    assert site.request("POST", path, body, right).status == 200
    assert site.request("POST", path, b"{" if settings.kind != "twilio" else body, right).status in (200, 400, 401)
    other = dict(sign(rotated(settings), body, now_ms))
    assert site.request("POST", path, body, other).status == 401
    for proof in (right, other):
        assert site.request("POST", f"{path}x", body, proof).status in (401, 404)
        moved = {f"X-Other-{number}": value for number, value in enumerate(proof.values())}
        assert site.request("POST", path, body, moved).status == 401
    assert site.request("POST", f"{path}?token={settings.secrets[0]}", body, other).status == 401
    assert site.request("POST", f"{path}/{settings.secrets[0]}", body, right).status == 404


def kept_files(site: Site) -> list[Path]:
    """All that the gateway wrote: the database, its log beside it, its own log."""
    return [each for each in site.folder.iterdir() if each.is_file() and each != site.config]


def test_no_secret_is_written_or_shown_anywhere(site: Site) -> None:
    site.configure(more="".join(map(toml, SOURCES)))
    process = site.serve()
    for settings in SOURCES:
        send_in_every_way(site, settings)
    names = [each.name for each in SOURCES]
    wait_until(lambda: len(site.ask("sources", "rejections", "--unknown").rows) >= 5, "samples to be written")
    wait_until(lambda: len(site.ask("status").row["held_requests"]) == len(SOURCES) - 1, "requests to be held")
    told = [site.look("/metrics").body]
    told += [site.ask("sources", "rejections", name).out for name in names]
    told += [site.ask("sources", "rejections", "--unknown").out, site.ask("status").out]
    events = site.ask("events", "list", "--limit", "1000").rows
    assert {each["source"] for each in events} == set(names)
    told += [site.ask("events", "show", each["id"]).out for each in events]
    running = {path: path.read_bytes() for path in kept_files(site)}
    assert {"longstop.db", "longstop.db-wal"} <= {path.name for path in running}
    process.stop()
    stopped = {path: path.read_bytes() for path in kept_files(site)}
    for canary in set(canaries()):
        for files in (running, stopped):
            assert [path.name for path, data in files.items() if canary in data] == [], canary
        assert not any(canary in each for each in told), canary
    for settings in SOURCES[:-1]:
        site.config.write_text(site.config.read_text().replace(settings.secrets[0], rotated(settings).secrets[0], 1))
    for settings in SOURCES[:-1]:
        released = site.ask("sources", "release", settings.name).row
        assert released["accepted"] + released["duplicates"] + released["quarantined"] >= 1, settings.name
    for canary in set(canaries()):
        assert [path.name for path in kept_files(site) if canary in path.read_bytes()] == [], canary


@pytest.mark.parametrize("proof", [True, False], ids=["with a proof", "without"])
def test_a_flood_of_refused_requests_fills_nothing(site: Site, proof: bool) -> None:
    site.configure(
        more='\n[sources.held]\nkind = "github"\nsecrets = ["${HMAC_SECRET}"]\non_unverified = "hold"\n'
        'hold = { max_requests = 100, max_bytes = "1MB" }\nkeep_rejected_bodies = true\n'
    )
    process = site.start("ingest").ready()
    body = b"x" * 20_000

    def stranger(number: int) -> int:
        headers = {"X-Hub-Signature-256": f"sha256={number:064x}"} if proof else {}
        name = ("held", "shop", f"guess-{number}")[number % 3]
        return site.request("POST", f"/webhooks/{name}", body, {**headers, "X-Signature": "sha256=00"}).status

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(stranger, range(FLOOD)))
    assert set(statuses) == {401}
    site.accept("shop", b'{"id": "e-1"}')
    process.stop()
    # 20,000 bytes of each would be 60 MB.
    assert sum(path.stat().st_size for path in kept_files(site)) < 6_000_000
    lines = [line for line in process.err.splitlines() if "refused" in line]
    assert 3 <= len(lines) <= 12
    counted = sum(each["requests"] for each in site.ask("status").row["refused"])
    assert counted == FLOOD
    assert {each["source"] for each in site.ask("status").row["refused"]} == {None, "held", "shop"}
    held = site.ask("status").row["held_requests"]
    assert sum(each["bytes"] for each in held) <= 1_000_000
    assert bool(held) == proof


def test_what_is_refused_while_it_comes_and_what_is_no_http_are_counted_too(site: Site) -> None:
    site.configure(more='\n[sources.small]\nkind = "github"\nsecrets = ["${HMAC_SECRET}"]\nmax_body = "1KB"\n')
    site.start("ingest").ready()
    chunks = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    head = b"POST /webhooks/small HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    for data, status in ((head + chunks, b"413"), (b"HELLO\r\n\r\n", b"400")):
        with socket.create_connection(("127.0.0.1", site.port), timeout=LIMIT_S) as connection:
            connection.sendall(data)
            assert connection.recv(65_536).split()[1] == status
    told = wait_until(lambda: len(found := site.ask("status").row["refused"]) == 2 and found, "both to be counted")
    assert {(each["source"], each["reason"]) for each in told} == {("small", "too_large"), (None, "unreadable")}
    metrics = site.look("/metrics").body
    assert b'longstop_events_refused_total{reason="too_large",source="small"} 1.0' in metrics
