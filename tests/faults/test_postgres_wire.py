"""The wire between a gateway and its PostgreSQL: cut, or only its answers lost. In namespaces of the test's own."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import postgres_server
from acceptance.harness import Answer, Process, Site, wait_until
from faults.namespaces import FAR, NEAR, Wire, needs_namespaces
from postgres_server import PostgresServer

pytestmark = needs_namespaces

PORT = "5433"
ANSWERS_LOST, ANSWERS_BACK = ("route", "add", "blackhole", f"{NEAR}/32"), ("route", "del", "blackhole", f"{NEAR}/32")
DOWN, UP = ("link", "set", "wire", "down"), ("link", "set", "wire", "up")
COUNT = "SELECT count(*) FROM longstop.events"


class Ends:
    """A gateway at one end of a wire and its server at the other."""

    def __init__(self, site: Site, wire: Wire, server: PostgresServer) -> None:
        self.site, self.wire, self.server = site, wire, server
        server.sql("CREATE DATABASE longstop")
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NEAR}/32 trust\n")
        server.sql("SELECT pg_reload_conf()")
        site.within = wire[0].within
        site.configure(lease="2s", attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
        url = f"postgresql://longstop@{FAR}:{PORT}/longstop"
        site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", url))
        # It delivers nothing: the destination is in neither namespace.
        self.process: Process = site.start("ingest").ready()

    def post(self, number: int) -> Answer:
        """Post an event, from the gateway's own end."""
        body = json.dumps({"id": f"event-{number}", "type": "paid"}).encode()
        return self.wire[0].inside(partial(self.site.post, "shop", body))

    def accepted(self, number: int) -> Any:
        """Its answer, when it is taken."""
        return wait_until(lambda: (answer := self.post(number)).status == 200 and answer.json, "it to be taken")

    def kept(self) -> int:
        """How many events there are."""
        return int(self.server.sql(COUNT, "longstop"))


@pytest.fixture
def ends(site: Site, wire: Wire) -> Iterator[Ends]:
    postgres_server.needed()
    listening = {"listen_addresses": FAR, "port": PORT}
    with postgres_server.running(listening, within=wire[1].within) as server:
        yield Ends(site, wire, server)


def test_what_was_committed_and_not_answered_is_known_when_it_is_sent_again(ends: Ends) -> None:
    ends.accepted(1)
    ends.wire[1].ip(*ANSWERS_LOST)
    lost = ends.post(2)
    assert lost.status == 503
    wait_until(lambda: ends.kept() == 2, "the server to have committed it")
    ends.wire[1].ip(*ANSWERS_BACK)
    again = ends.accepted(2)
    assert again["status"] == "duplicate"
    assert ends.kept() == 2
    assert ends.server.sql("SELECT id FROM longstop.events ORDER BY id DESC LIMIT 1", "longstop") == again["id"]


def test_a_wire_that_was_cut_is_used_again(ends: Ends) -> None:
    first = ends.accepted(1)
    ends.wire[1].ip(*DOWN)
    assert [ends.post(2).status for _ in range(2)] == [503, 503]
    ends.wire[1].ip(*UP)
    ends.accepted(2)
    assert ends.accepted(1) == {"status": "duplicate", "id": first["id"]}
    assert ends.kept() == 2
    assert ends.process.popen.poll() is None
