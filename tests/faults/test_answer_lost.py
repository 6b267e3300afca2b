"""The commit is done and the answer never arrives: the sender's next try is recognised, however the answer was lost."""

import http.client

import pytest

from acceptance.harness import Site

pytestmark = pytest.mark.any_store
BODY = b'{"id": "lost-answer", "type": "order"}'

CONNECTION_CUT = """
from longstop.edges.senders_http.connection import Connection

answer, cut = Connection._answer, []

def cut_once(self, exchange, what):
    if what.status == 200 and not cut:
        cut.append(True)
        self.abort()
    else:
        answer(self, exchange, what)

Connection._answer = cut_once
"""
PROCESS_KILLED = """
import os
from longstop.edges.senders_http.connection import Connection

answer = Connection._answer

def killed(self, exchange, what):
    if what.status == 200:
        os.kill(os.getpid(), 9)
    answer(self, exchange, what)

Connection._answer = killed
"""


def _lost(site: Site) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        site.post("shop", BODY)


def _one_event(site: Site, id_: str) -> None:
    """The first try's event, sent again once; delivered once; no other."""
    (row,) = site.ask("events", "list").rows
    assert (row["id"], row["redeliveries"]) == (id_, 1)
    site.wait_for_state(id_, "delivered")
    assert [arrival.webhook_id for arrival in site.destination.arrivals] == [id_]


def test_the_connection_is_cut_before_the_answer(site: Site) -> None:
    site.start("serve", prelude=CONNECTION_CUT).ready()
    _lost(site)
    (kept,) = site.ask("events", "list").rows
    again = site.post("shop", BODY)
    assert (again.status, again.json) == (200, {"status": "duplicate", "id": kept["id"]})
    _one_event(site, kept["id"])


def test_the_process_is_killed_before_the_answer(site: Site) -> None:
    process = site.start("ingest", prelude=PROCESS_KILLED).ready("Ctrl-C stops.")
    _lost(site)
    assert process.wait() == -9
    site.serve()
    (kept,) = site.ask("events", "list").rows
    again = site.post("shop", BODY)
    assert (again.status, again.json) == (200, {"status": "duplicate", "id": kept["id"]})
    _one_event(site, kept["id"])


def test_every_redelivery_is_counted_and_shown(site: Site) -> None:
    site.serve()
    id_ = site.accept("shop", BODY)
    for _ in range(3):
        answer = site.post("shop", BODY)
        assert answer.json == {"status": "duplicate", "id": id_}
    assert site.event(id_)["redeliveries"] == 3
    (row,) = site.ask("events", "list").rows
    assert row["redeliveries"] == 3
    assert site.cli("events", "show", id_, "--raw").out == BODY
