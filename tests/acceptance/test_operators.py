"""The operators' side of the real program: what it answers, and that nothing else depends on it."""

import json
import socket
from contextlib import closing

import pytest

from acceptance.harness import LIMIT_S, Reply, Site, wait_until

pytestmark = pytest.mark.any_store

ORDER = b'{"id": "order-1", "customer": "c-1"}'


def test_it_is_ready_until_a_stop_is_asked_for(site: Site) -> None:
    program = site.serve()
    assert (site.look("/readyz").status, site.look("/nothing.js").status) == (200, 404)
    assert site.request("POST", "/metrics", b"", {}, site.admin_port).status == 405
    assert site.request("GET", "/metrics", b"", {}).status == 404, "senders cannot see it"
    site.destination.script = lambda _arrival: Reply(hold=True)
    id_ = site.accept("shop", ORDER)
    site.destination.wait_for(id_)
    program.terminate()
    wait_until(lambda: site.look("/readyz").status == 503, "the gateway to be no longer ready")
    site.destination.release()
    assert program.wait() == 0
    assert site.delivery(id_)["state"] == "delivered"


def test_it_answers_to_its_own_names_and_logs_in_one_way(site: Site) -> None:
    program = site.serve()
    for host, status in (("localhost", 200), ("evil.example", 421), (f"127.0.0.1:{site.admin_port}", 200)):
        assert site.request("GET", "/metrics", b"", {"Host": host}, site.admin_port).status == status
    with closing(socket.create_connection(("127.0.0.1", site.admin_port), LIMIT_S)) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 400 ")
    program.stop()
    lines = [json.loads(line) for line in program.err.splitlines() if line]
    assert [line["said"] for line in lines if line["event"] == "operators_server"] == ["Invalid HTTP request received."]


@pytest.mark.parametrize("roles", [("serve",), ("ingest", "work")])
def test_a_taken_port_keeps_no_gateway_from_starting(roles: tuple[str, ...], site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", site.admin_port))):
        programs = [site.start(role).ready() for role in roles]
        id_ = site.accept("shop", ORDER)
        site.destination.wait_for(id_)
        for program in programs:
            program.stop()
            (line,) = [json.loads(line) for line in program.err.splitlines() if '"error"' in line]
            assert line["event"] == "no_operators_side"
            assert line["error"] == (
                f"cannot listen on 127.0.0.1:{site.admin_port}: Address already in use; is another Longstop running? "
                "Stop it, or choose another server.admin_port"
            )


def test_the_first_of_two_on_one_file_has_the_port(site: Site) -> None:
    working = site.start("work").ready()
    accepting = site.start("ingest").ready()
    assert [site.look(path).status for path in ("/metrics", "/readyz")] == [200, 200]
    assert ("no_operators_side" in working.err, "no_operators_side" in accepting.err) == (False, True)
    working.stop()
    with pytest.raises(ConnectionError):
        site.look("/readyz")
    accepting.stop()
