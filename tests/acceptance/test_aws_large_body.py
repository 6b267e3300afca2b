"""Five megabytes through the AWS store: posted, kept in the bucket, delivered byte for byte, seen as they were."""

import json
import os

import pytest

from acceptance.harness import Site
from aws_server import AwsServer

pytestmark = [pytest.mark.any_store, pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)]

LARGER = '\n[sources.documents]\nkind = "generic"\nverify = { scheme = "none" }\nmax_body = "6MiB"\n'
ROUTE = '\n[[routes]]\nfrom = "documents"\nto = ["crm"]\n'


def accepted(site: Site, body: bytes) -> str:
    answer = site.post("documents", body, {})
    assert (answer.status, answer.json["status"]) == (200, "accepted"), answer
    return str(answer.json["id"])


def test_five_megabytes_are_delivered_byte_for_byte(site: Site, s3_server: AwsServer, aws_credentials: None) -> None:
    table, bucket = s3_server.table(), s3_server.bucket()
    site.store_url = f"aws://eu-central-1?table={table}&bucket={bucket}&shards=2&endpoint={s3_server.url}"
    site.configure(routes=ROUTE, more=LARGER)
    running = site.serve()
    body = json.dumps({"text": os.urandom(2_500_000).hex()}).encode()
    assert len(body) > 5_000_000
    id_ = accepted(site, body)
    assert site.destination.wait_for(id_)[0].body == body
    site.wait_for_state(id_, "delivered")
    assert site.raw(id_) == body
    seen = site.look(f"/api/v1/events/{id_}/body")
    assert (seen.status, seen.body) == (200, body)
    # One just behind the threshold, and one just before it, beside a small one.
    for size in (64 * 2**10 - 12, 64 * 2**10 + 1, 10):
        text = json.dumps({"text": "x" * size}).encode()
        assert site.destination.wait_for(accepted(site, text))[0].body == text
    running.stop()
    assert "Unclosed" not in running.out + running.err
