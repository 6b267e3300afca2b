"""The operators' API of the real program, over its real port."""

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import closing

from acceptance.harness import LIMIT_S, Reply, Site, wait_until
from longstop.edges.operators.api.live import LISTENERS_MAX

ORDER = b'{"id": "order-1", "customer": "c-1"}'
API = "/api/v1"


@contextlib.contextmanager
def listening(site: Site) -> Iterator[socket.socket]:
    """A connection to the stream, past its head."""
    with closing(socket.create_connection(("127.0.0.1", site.admin_port), LIMIT_S)) as wire:
        wire.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        read_until(wire, b": listening")
        yield wire


def read_until(wire: socket.socket, wanted: bytes) -> bytes:
    read = b""
    while wanted not in read:
        more = wire.recv(65_536)
        assert more, f"the connection was closed before {wanted!r}; it said {read!r}"
        read += more
    return read


def post(site: Site, path: str, asked: object, **headers: str) -> tuple[int, dict[str, object]]:
    body = json.dumps(asked).encode()
    headers = {"Content-Type": "application/json", **headers}
    answer = site.request("POST", API + path, body, headers, site.admin_port)
    return answer.status, json.loads(answer.body)


def test_a_dead_delivery_is_found_and_sent_again(site: Site) -> None:
    site.serve()
    site.destination.script = lambda _arrival: Reply(status=422)
    event = site.accept("shop", ORDER)
    wait_until(lambda: site.delivery(event)["state"] == "dead", "the delivery to be dead")
    (dead,) = json.loads(site.look(f"{API}/deliveries?state=dead").body)["items"]
    assert (dead["event_id"], dead["last_status"]) == (event, 422)
    site.destination.script = lambda _arrival: Reply(status=200)
    path = f"/deliveries/{dead['id']}/replay"
    assert post(site, path, {}, Origin="https://evil.example")[0] == 403
    answers = [post(site, path, {"why": "mended"}, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 202
    wait_until(lambda: site.delivery(event)["state"] == "delivered", "the delivery to arrive")
    history = json.loads(site.look(f"{API}/events/{event}").body)["history"][0]
    assert [(each["action"], each["by"], each["why"]) for each in history["actions"]] == [("replay", "local", "mended")]
    assert json.loads(site.look("/dlq").body)["items"] == []


def test_a_name_that_is_not_its_own_gets_nothing(site: Site) -> None:
    site.serve()
    for path in (f"{API}/status", f"{API}/stream", "/dlq"):
        answer = site.request("GET", path, b"", {"Host": "evil.example"}, site.admin_port)
        assert answer.status == 421
        assert site.request("GET", path, b"", {}).status == 404, "senders cannot see it"


def test_what_happens_is_heard_and_a_stop_ends_the_stream(site: Site) -> None:
    program = site.serve()
    with listening(site) as wire:
        event = site.accept("shop", ORDER)
        told = read_until(wire, b'"delivered", "event_id"')
        assert event.encode() in told
        program.terminate()
        while wire.recv(65_536):
            pass
        assert program.wait() == 0
        # A stream that nobody ends is broken off in the end, and the server says so.
        assert "operators_server" not in program.err


def test_listeners_who_went_make_room(site: Site) -> None:
    site.serve()

    def joins(many: contextlib.ExitStack) -> bool:
        with contextlib.suppress(AssertionError):
            many.enter_context(listening(site))
            return True
        return False

    for _ in range(2):
        with contextlib.ExitStack() as many:
            for _ in range(LISTENERS_MAX):
                # Those who went are noticed one by one.
                wait_until(lambda: joins(many), "room for a listener")
            assert site.look(f"{API}/stream").status == 429
