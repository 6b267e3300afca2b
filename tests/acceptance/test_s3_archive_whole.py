"""The archive in S3, whole: what a gateway has delivered is forgotten, is found there, and goes into another store."""

import gzip
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.harness import Site, wait_until
from aws_server import ACCESS_KEY, SECRET_KEY, AwsServer

pytestmark = [pytest.mark.any_store, pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)]

TOKEN = "the-session-token-of-these-tests"
MORE = """
[retention]
delivered = "1s"
archive = "s3://{bucket}/kept?endpoint={url}"
"""


@pytest.fixture
def bucket(site: Site, s3_server: AwsServer, aws_credentials: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bucket in which the site's archive is."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    name = s3_server.bucket()
    site.configure(more=MORE.format(bucket=name, url=s3_server.url))
    return name


def objects(server: AwsServer, bucket: str) -> Iterator[str]:
    """The keys in a bucket."""
    with urllib.request.urlopen(f"{server.url}/{bucket}?list-type=2", timeout=30) as answer:
        yield from re.findall("<Key>([^<]+)</Key>", answer.read().decode())


def forgotten(site: Site, id_: str) -> object:
    """What `events show` says of an event once it is only in the archive."""
    site.ask("purge", "--trust-clock")
    shown = site.event(id_)
    return shown["archived_in"] and shown


def test_what_was_delivered_is_forgotten_found_and_imported_elsewhere(
    site: Site, bucket: str, s3_server: AwsServer
) -> None:
    running = site.start("serve", "--log-level", "debug").ready()
    body = json.dumps({"id": "o1", "type": "paid", "customer": "c", "text": "gr\u00fcn"}).encode()
    id_ = site.accept("shop", body)
    delivery = site.wait_for_state(id_, "delivered")
    shown = wait_until(lambda: forgotten(site, id_), "it to be forgotten")
    (key,) = objects(s3_server, bucket)
    assert key.startswith("kept/day=")
    assert "/source=shop/" in key
    assert shown["archived_in"] == f"s3://{bucket}/{key}"
    assert site.raw(id_) == body
    assert site.event(delivery["id"])["id"] == id_
    # The gateway, which has its own way there, says the same.
    seen = site.look(f"/api/v1/events/{id_}")
    assert (seen.status, seen.json["archived_in"]) == (200, shown["archived_in"])
    assert imported(site, f"{s3_server.url}/{bucket}/{key}") == id_
    running.stop()
    said = running.out + running.err
    assert "Unclosed" not in said
    assert not [secret for secret in (ACCESS_KEY, SECRET_KEY, TOKEN) if secret in said]


def imported(site: Site, url: str) -> str:
    """The only event of a new store that an object was imported into."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        packed = answer.read()
    assert gzip.decompress(packed).count(b"\n") == 1
    path = Path(site.folder, "taken.jsonl.gz")
    path.write_bytes(packed)
    site.config.write_text(f"{site.config.read_text()}\n".replace(site.store_url, "sqlite:///elsewhere.db"))
    assert site.ask("import", str(path)).row == {"imported": 1, "known": 0}
    return str(site.ask("events", "list").row["id"])


def test_what_cannot_be_archived_stays_and_is_told(site: Site, bucket: str, s3_server: AwsServer) -> None:
    site.configure(more=MORE.format(bucket=f"{bucket}-no", url=s3_server.url))
    site.serve()
    id_ = site.accept("shop", b'{"id": "o1", "type": "paid", "customer": "c"}')
    site.wait_for_state(id_, "delivered")

    def told() -> bool:
        ran = site.cli("purge", "--trust-clock")
        return ran.exit == 1 and "expected the bucket to be there; make it, or mend its name" in ran.err

    wait_until(told, "the archive to be missed")
    assert site.event(id_)["archived_in"] is None
