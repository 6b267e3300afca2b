"""The network between the gateway and a destination: cut, one-way, resetting, slow; on wires of the tests' own.

The reckoning at the end of each is the same, and the planted bugs at the end of the file are what it has to find.
"""

import asyncio
import json
import socket
import struct
from functools import partial
from typing import Any

import pytest

from acceptance.harness import Process, Site, wait_until
from faults.namespaces import (
    FAR,
    NEAR,
    OK,
    Request,
    Server,
    Servers,
    Wire,
    needs_namespaces,
    program,
    read_body,
)

PORT = 8080
DESTINATION = """
[destinations.{name}]
url = "http://{host}:{port}/{name}"
allow_private = true
timeout = "{timeout}"
retry = {{ attempts = {attempts}, first = "10ms", cap = "50ms" }}
breaker = {{ enabled = {breaker}, failures = 3, probe = "200ms", probe_cap = "400ms" }}
"""


ATTEMPTS = 8


def point_at(
    site: Site, *names: str, host: str = FAR, port: int = PORT, timeout: str = "400ms", breaker: bool = True
) -> None:
    """Have every order go to these destinations, which are all at one place.

    With so many attempts and a circuit that opens at three failures no delivery can die before it is open, nor
    afterwards of a moment in which the machine is busy.
    """
    told = {"host": host, "port": port, "timeout": timeout, "attempts": ATTEMPTS, "breaker": json.dumps(breaker)}
    more = [DESTINATION.format(name=name, **told) for name in names]
    site.configure(more="".join(more), routes=f'\n[[routes]]\nfrom = "shop"\nto = {json.dumps(names)}\n')


def order(number: int, size: int = 0) -> bytes:
    return json.dumps({"id": f"order-{number}", "type": "paid", "customer": f"c-{number}", "_": "x" * size}).encode()


def row(site: Site, name: str) -> Any:
    (found,) = [each for each in site.ask("status").row["destinations"] if each["destination"] == name]
    return found


def attempts_of(site: Site, id_: str, name: str = "far") -> list[Any]:
    event = site.event(id_)
    numbers = [each["destination"] for each in event["deliveries"]]
    attempts: list[Any] = event["history"][numbers.index(name)]["attempts"]
    return attempts


def nothing_waits(site: Site, name: str = "far") -> bool:
    found = row(site, name)
    return not found["scheduled"] + found["leased"]


def faults(site: Site, server: Server, ids: list[str], name: str = "far") -> list[str]:
    """Everything that is wrong in the end, of what went to one destination."""
    wrong = []
    for id_ in ids:
        came = [each for each in server.requests if each.headers["webhook-id"] == id_ and each.target == f"/{name}"]
        (state,) = [each["state"] for each in site.event(id_)["deliveries"] if each["destination"] == name]
        attempts = attempts_of(site, id_, name)
        outcomes = [attempt["outcome"] for attempt in attempts]
        if state != "delivered" or outcomes != ["retry"] * (len(outcomes) - 1) + ["success"]:
            wrong.append(f"{id_}: {state} after {outcomes}")
        if not came:
            wrong.append(f"{id_}: never came")
        if len({each.headers["idempotency-key"] for each in came}) > 1:
            wrong.append(f"{id_}: came under several keys")
        if not {each.attempt for each in came} <= {attempt["number"] for attempt in attempts}:
            wrong.append(f"{id_}: came by an attempt that is not on record")
    return wrong


# -- partitions -----------------------------------------------------------------------------------

DOWN, UP = ("link", "set", "wire", "down"), ("link", "set", "wire", "up")
BLACKHOLE = ("blackhole", f"{NEAR}/32")
PARTITIONS = {
    "the link is down": (0, DOWN, UP, "Network is unreachable"),
    "the cable is cut": (1, DOWN, UP, "timed out after 0.4 s while connecting"),
    # What goes out by a connection that is there arrives and is taken, and nobody hears of it.
    "answers are lost": (1, ("route", "add", *BLACKHOLE), ("route", "del", *BLACKHOLE), "waiting for the answer"),
}
"""At which end of the wire, what breaks it and what mends it, and what the log then says among other things."""


class Outage:
    """A gateway at one end of a wire, a destination at the other, and what has been accepted."""

    def __init__(self, site: Site, wire: Wire, servers: Servers, plant: str = "", breaker: bool = True) -> None:
        self.site, self.wire = site, wire
        self.server = servers.serve(OK, wire[1].listen(FAR, PORT))
        point_at(site, "far", breaker=breaker)
        site.within = wire[0].within
        self.gateway: Process = site.start(prelude=plant).ready()
        # Delivered while all is well: its connection is the first that the partition hits.
        self.ids = [self._accept(0)]
        wait_until(lambda: nothing_waits(site), "the first one to be delivered")

    def _accept(self, number: int) -> str:
        return self.wire[0].inside(lambda: self.site.accept("shop", order(number)))

    def accept_more(self) -> None:
        self.ids += [self._accept(number) for number in range(1, 21)]

    def faults(self) -> list[str]:
        wait_until(lambda: nothing_waits(self.site), "everything to be settled")
        return faults(self.site, self.server, self.ids)


@needs_namespaces
@pytest.mark.parametrize("kind", PARTITIONS)
def test_the_circuit_opens_in_a_partition_probes_and_closes_and_nothing_is_lost(
    kind: str, site: Site, wire: Wire, servers: Servers
) -> None:
    where, cut, mend, said = PARTITIONS[kind]
    outage = Outage(site, wire, servers)
    wire[where].ip(*cut)
    outage.accept_more()
    opened = wait_until(lambda: row(site, "far")["circuit"], "the circuit to open")
    assert "in a row failed" in opened["why"]
    assert "without an answer" in opened["why"]
    wait_until(lambda: outage.gateway.err.count("probe_failed") >= 2, "two probes to fail")
    assert row(site, "far")["circuit"]["opened_at"] == opened["opened_at"], "half-open and open again, never closed"
    assert said in outage.gateway.err
    wire[where].ip(*mend)
    wait_until(lambda: "circuit_closed" in outage.gateway.err, "the circuit to close")
    assert outage.faults() == []
    assert row(site, "far")["circuit"] is None
    came = [each.headers["webhook-id"] for each in outage.server.requests]
    assert kind != "answers are lost" or len(came) > len(set(came)), "no answer was lost, and this says nothing"
    outage.gateway.stop()


# -- resets ---------------------------------------------------------------------------------------


def reset(writer: asyncio.StreamWriter) -> None:
    # With no time to linger, closing sends a reset instead of a tidy end.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


RESETS = {
    "in-the-request": None,
    "before-the-answer": b"",
    "in-the-status": b"HTTP/1.1 20",
    "in-the-head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "in-a-refusal": b"HTTP/1.1 503 Not Now\r\nContent-Length: 100\r\n\r\nhalf",
    "in-a-success": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
}
"""Where a connection is reset at the first attempt: after these words of the answer, or in the request (None)."""


async def reset_once(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    said = RESETS[request.target[1:]]
    if request.attempt > 1:
        await OK(request, reader, writer)
        return
    if said is not None:
        await read_body(request, reader)
        writer.write(said)
        await writer.drain()
    reset(writer)


def reset_everywhere(site: Site, servers: Servers, plant: str = "") -> tuple[Server, str]:
    """The server, and the event that was delivered to each of RESETS."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = servers.serve(reset_once, listening)
    point_at(site, *RESETS, host="127.0.0.1", port=listening.getsockname()[1], timeout="10s")
    site.start(prelude=plant).ready()
    # Larger than what the sockets hold, so that a reset in the request comes while it is still being sent.
    id_ = site.accept("shop", order(1, size=900_000))
    for name in RESETS:
        wait_until(partial(nothing_waits, site, name), f"{name} to be settled")
    return server, id_


def test_a_reset_is_tried_again_under_the_same_ids_unless_a_status_was_said(site: Site, servers: Servers) -> None:
    server, id_ = reset_everywhere(site, servers)
    for name in RESETS:
        assert faults(site, server, [id_], name) == []
        told = [(attempt["outcome"], attempt["status"]) for attempt in attempts_of(site, id_, name)]
        before = {"in-a-success": [], "in-a-refusal": [("retry", 503)]}.get(name, [("retry", None)])
        assert told == [*before, ("success", 200)], name
    assert "reset" in attempts_of(site, id_, "before-the-answer")[0]["error"]


# -- slow -----------------------------------------------------------------------------------------

SLOWER = ("root", "tbf", "rate", "400kbit", "burst", "4kb", "latency", "500ms")


@needs_namespaces
def test_over_a_slow_link_what_fits_the_deadline_is_delivered_and_the_rest_tried_again(
    site: Site, wire: Wire, servers: Servers
) -> None:
    near, far = wire
    tc = program("tc")
    if tc is None:
        pytest.skip("needs the program tc (iproute2)")
    near.run(tc, "qdisc", "add", "dev", "wire", *SLOWER)
    server = servers.serve(OK, far.listen(FAR, PORT))
    point_at(site, "far", timeout="3s")
    site.within = near.within
    site.serve()
    # 50 KB a second: the one takes half a second, the other eight.
    small = near.inside(lambda: site.accept("shop", order(1, size=25_000)))
    (attempt,) = wait_until(lambda: attempts_of(site, small), "the small one to be tried")
    assert attempt["outcome"] == "success"
    assert attempt["duration_ms"] > 300, "the link is not slow, and this test says nothing"
    large = near.inside(lambda: site.accept("shop", order(2, size=400_000)))
    (attempt, *_) = wait_until(lambda: attempts_of(site, large), "the large one to be given up")
    assert attempt["error"].startswith("timed out after 3 s while waiting for the answer")
    near.run(tc, "qdisc", "del", "dev", "wire", "root")
    wait_until(lambda: nothing_waits(site), "the large one to be delivered")
    assert faults(site, server, [small, large]) == []


async def answer_slowly(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte at a time: the first attempt takes nearly four seconds, the next a fifth of one."""
    await read_body(request, reader)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1 if request.attempt == 1 else 0.005)


def test_an_answer_byte_by_byte_is_waited_for_up_to_the_deadline(site: Site, servers: Servers) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    server = servers.serve(answer_slowly, listening)
    point_at(site, "far", host="127.0.0.1", port=listening.getsockname()[1], timeout="2500ms")
    site.serve()
    id_ = site.accept("shop", order(1))
    site.wait_for_state(id_, "delivered")
    first, second = attempts_of(site, id_)
    assert first["error"].startswith("timed out after 2.5 s while waiting for the answer")
    assert (second["outcome"], second["status"]) == ("success", 200)
    assert faults(site, server, [id_]) == []


# -- planted bugs ---------------------------------------------------------------------------------

NO_NEWS_IS_GOOD_NEWS = """
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.senders.http import HttpSender

send = HttpSender.send

async def careless(self, claim, attempt):
    outcome = await send(self, claim, attempt)
    return outcome if outcome.status else Outcome(OutcomeKind.SUCCESS)

HttpSender.send = careless
"""
A_KEY_FOR_EACH_ATTEMPT = """
from longstop.senders.http import HttpSender

headers = HttpSender._headers

def renamed(self, claim, attempt, proof):
    named = headers(self, claim, attempt, proof)
    named["Idempotency-Key"] += f"-{attempt}"
    return named

HttpSender._headers = renamed
"""


@needs_namespaces
def test_the_reckoning_finds_a_sender_that_takes_silence_for_success(site: Site, wire: Wire, servers: Servers) -> None:
    outage = Outage(site, wire, servers, plant=NO_NEWS_IS_GOOD_NEWS)
    wire[1].ip(*DOWN)
    outage.accept_more()
    wait_until(lambda: nothing_waits(site), "everything to be called delivered")
    assert f"{outage.ids[-1]}: never came" in outage.faults()


@needs_namespaces
def test_the_reckoning_finds_those_who_die_of_an_outage_without_a_circuit(
    site: Site, wire: Wire, servers: Servers
) -> None:
    outage = Outage(site, wire, servers, breaker=False)
    wire[0].ip(*DOWN)
    outage.accept_more()
    assert f"{outage.ids[-1]}: dead after {['retry'] * ATTEMPTS}" in outage.faults()


def test_the_reckoning_finds_a_sender_that_makes_a_key_for_each_attempt(site: Site, servers: Servers) -> None:
    server, id_ = reset_everywhere(site, servers, A_KEY_FOR_EACH_ATTEMPT)
    assert faults(site, server, [id_], "in-the-head") == [f"{id_}: came under several keys"]
