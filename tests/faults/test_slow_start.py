"""A gateway that starts while its store is slow: whoever has connected by then is answered in time all the same."""

import contextlib
import time
from collections.abc import Iterator

import apsw
import pytest

from acceptance.harness import Site, listens, wait_until
from longstop.wiring.serve import START_PATIENCE_S

ANSWER_WITHIN_S = 4.0
"""What is promised: docs/guarantees.md, 6."""


@pytest.fixture
def locked(site: Site) -> Iterator[None]:
    """The site's store is there, and somebody has its lock."""
    assert site.cli("status").exit == 0
    with contextlib.closing(apsw.Connection(str(site.folder / "longstop.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_who_posts_while_the_start_waits_is_answered_within_four_seconds(site: Site, locked: None) -> None:
    gateway = site.start()
    wait_until(lambda: listens(site.port), "the port to be open")
    before_s = time.monotonic()
    answer = site.post("shop", b'{"id": "1"}')
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert time.monotonic() - before_s < ANSWER_WITHIN_S
    assert "starting" in answer.json["detail"]
    assert START_PATIENCE_S < ANSWER_WITHIN_S
    assert (health := site.request("GET", "/healthz", b"", {})).status == 503, health
    gateway.ready()
    assert site.request("GET", "/healthz", b"", {}).status == 200
