"""Destinations that hang, drip, babble, break off, go down, come back, and ask for time."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from acceptance.destination import Arrival, Reply
from acceptance.harness import Site, wait_until
from faults.test_limits import peak_bytes
from longstop.model.delivery import Outcome, OutcomeKind, State
from longstop.model.retry import RetryPolicy, parse_retry_after
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock, run
from longstop.testing.fakes import ScriptedSender
from unit.services import Works, settle_down, states

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ORDER = b'{"id": "order-1", "type": "order.paid", "customer": "c"}'


@contextlib.contextmanager
def listening(behave: Behaviour) -> Iterator[int]:
    """A raw TCP server in a thread; its port. What it still does at the end is broken off."""
    loop = asyncio.new_event_loop()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)

    server = loop.run_until_complete(asyncio.start_server(served, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"blah " * 2_000)
        await writer.drain()


async def endless_head(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"x" * 1_000 + b"\r\n")
        await writer.drain()


async def break_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 20")
    await writer.drain()
    writer.transport.abort()


async def endless_interim(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(writer, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400)


async def endless_extension(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(writer, b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 10_000)


async def endless_trailer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(writer, b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1_600)


async def endless_breaks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(writer, b"", b"\r\n" * 5_000)


async def _endless(writer: asyncio.StreamWriter, begun: bytes, again: bytes) -> None:
    writer.write(begun)
    while True:
        writer.write(again)
        await writer.drain()


DESTINATION = """
[destinations.hostile]
url = "http://127.0.0.1:{port}/"
allow_private = true
timeout = "{timeout}"
retry = {{ attempts = 2, first = "10ms", cap = "50ms" }}
breaker = {{ failures = {failures}, probe = "300ms", probe_cap = "600ms" }}
"""
ROUTES = '\n[[routes]]\nfrom = "shop"\nto = ["hostile"]\n'


def point_at(site: Site, port: int, timeout: str, failures: int = 20) -> None:
    more = DESTINATION.format(port=port, timeout=timeout, failures=failures)
    site.configure(routes=ROUTES, more=more)


def attempts_of(site: Site, id_: str) -> list[Any]:
    (history,) = site.event(id_)["history"]
    attempts: list[Any] = history["attempts"]
    return attempts


# -- 17: hangs, drips, babbles; 16: breaks off ---------------------------------------------------------


# What says nothing is waited for: a second, in which a busy machine connects and asks. What comes to an end by itself
# has all the time that it takes there.
@pytest.mark.parametrize(
    ("behave", "timeout", "said"),
    [
        (hang, "1s", "timed out after 1 s while waiting for the answer"),
        (drip, "1s", "timed out after 1 s while waiting for the answer"),
        (break_off, "20s", "without an answer|broke while waiting"),
        (endless_head, "20s", "answered with a head of more than 64 KiB"),
    ],
)
def test_no_answer_costs_more_than_its_deadline(behave: Behaviour, timeout: str, said: str, site: Site) -> None:
    with listening(behave) as port:
        point_at(site, port, timeout)
        site.serve()
        id_ = site.accept("shop", ORDER)
        dead = site.wait_for_state(id_, "dead")
        assert (dead["reason"], dead["attempts"]) == ("exhausted", 2)
        for attempt in attempts_of(site, id_):
            assert attempt["outcome"] == "retry"
            assert any(words in attempt["error"] for words in said.split("|")), attempt["error"]
            # Generous: the machine may be busy. Without a deadline it would be for ever.
            assert attempt["duration_ms"] < 15_000


def test_an_answer_without_end_is_cut_and_judged_by_its_status(site: Site) -> None:
    with listening(babble) as port:
        point_at(site, port, timeout="20s")
        site.serve()
        id_ = site.accept("shop", ORDER)
        site.wait_for_state(id_, "delivered")
        (attempt,) = attempts_of(site, id_)
        assert (attempt["outcome"], attempt["status"], len(attempt["answer"])) == ("success", 200, 2_048)
        assert attempt["duration_ms"] < 15_000


FLOODED_ATTEMPTS = 40
GROWTH_BYTES_MAX = 48 * 1024 * 1024
"""What an attempt may take is far less; without a limit each of these grew by hundreds of megabytes."""


@pytest.mark.parametrize("behave", [endless_head, endless_interim, endless_extension, endless_trailer, endless_breaks])
def test_a_flood_is_cut_at_once_and_takes_neither_memory_nor_turns(behave: Behaviour, site: Site) -> None:
    with listening(behave) as port:
        more = DESTINATION.format(port=port, timeout="20s", failures=1_000).replace("attempts = 2", "attempts = 4")
        site.configure(routes=ROUTES, more=more)
        gateway = site.serve()
        site.post("genesys", b"{}")
        before = peak_bytes(gateway)
        ids, waits = [], []
        for number in range(FLOODED_ATTEMPTS // 4):
            began = time.monotonic()
            ids.append(site.accept("shop", ORDER.replace(b"order-1", b"order-%d" % number)))
            waits.append(time.monotonic() - began)
        for id_ in ids:
            assert site.wait_for_state(id_, "dead")["attempts"] == 4
        # Generous: the machine may be busy. Uncut, each would take its 20 s, and accepting would wait with it.
        assert all(attempt["duration_ms"] < 15_000 for id_ in ids for attempt in attempts_of(site, id_))
        assert max(waits) < 10
        assert peak_bytes(gateway) - before < GROWTH_BYTES_MAX


# -- 18: 200 after the timeout -------------------------------------------------------------------------


def test_a_200_that_comes_too_late_is_tried_again_under_the_same_ids(site: Site) -> None:
    def late_once(arrival: Arrival) -> Reply:
        return Reply(hold=arrival.attempt == 1)

    site.destination.script = late_once
    # So long the first is waited for, and the second may take.
    point_at(site, site.destination.port, timeout="2s")
    site.serve()
    id_ = site.accept("shop", ORDER)
    first, second = site.destination.wait_for(id_, 2)
    site.destination.release()
    site.wait_for_state(id_, "delivered")
    told = [(attempt["outcome"], attempt["status"]) for attempt in attempts_of(site, id_)]
    assert told == [("retry", None), ("success", 200)]
    assert "timed out" in attempts_of(site, id_)[0]["error"]
    for name in ("webhook-id", "idempotency-key"):
        assert first.headers[name] == second.headers[name]


# -- 19: Retry-After -----------------------------------------------------------------------------------

AFTER = {
    "30": 30.0,
    "date": 30.0,
    "-5": 0.1,
    "0": 0.1,
    "soon": 0.1,
    "31536000": 3_600.0,
    "9" * 30: 0.1,
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("text", AFTER)
def test_retry_after_is_honoured_for_the_whole_destination_and_clamped(text: str, status: int) -> None:
    """The wait until anything is sent there again, in virtual seconds; another destination is served meanwhile."""

    async def scenario() -> None:
        header = formatdate(AT_MS / 1000 + 30, usegmt=True) if text == "date" else text
        asked = Outcome(OutcomeKind.RETRY, status=status, retry_after_s=parse_retry_after(header, AT_MS))
        sender, other = ScriptedSender(asked), ScriptedSender()
        policy = RetryPolicy(first_ms=100, jitter="none")
        async with Works(policy=policy, crm=(sender, 1), lake=other) as works:
            await works.store.append([make_append(1)])
            await settle_down()
            await works.store.append([make_append(2, due_at_ms=AT_MS + 100), make_append(3, to=("lake",))])
            await settle_down()
            assert len(other.sent) == 1
            await sender.began(2)
            assert (works.clock.now_ms() - AT_MS) / 1000 == AFTER[text]
            await works.clock.sleep(5)
            assert set(await states(works.store)) == {State.DELIVERED}

    run(scenario())


# -- 16: down, half-open, back; and a kill in between --------------------------------------------------


def circuit(site: Site) -> Any:
    (row,) = [each for each in site.ask("status").row["destinations"] if each["destination"] == "hostile"]
    return row["circuit"]


def test_the_circuit_opens_outlives_a_kill_probes_and_closes(site: Site) -> None:
    # Nothing here is waited for in vain: who is down refuses, and who is up again may be slow on a busy machine.
    point_at(site, site.destination.port, timeout="20s", failures=3)
    # Accepted by another process, so that what delivers can be killed alone.
    accepting = site.start("ingest").ready()
    site.destination.down()
    orders = [json.dumps({"id": f"order-{n}", "type": "t", "customer": f"c-{n}"}).encode() for n in range(40)]
    ids = [site.accept("shop", order) for order in orders]
    # Not before: one event that fails twice is one voice, and is dead of it here.
    working = site.start("work").ready()
    opened = wait_until(lambda: circuit(site), "the circuit to open")
    assert "in a row failed" in opened["why"]
    wait_until(lambda: "probe_failed" in working.err, "a probe to fail")
    assert "circuit_opened" in working.err
    working.kill()
    again = site.start("work").ready()
    wait_until(lambda: "probe_failed" in again.err, "a probe of the next worker")
    assert "circuit_opened" not in again.err, "it is open already, and was not forgotten"
    assert circuit(site)["opened_at"] == opened["opened_at"]
    site.destination.up()
    for id_ in ids:
        site.destination.wait_for(id_)
    wait_until(lambda: "circuit_closed" in again.err, "the circuit to close")
    assert circuit(site) is None
    wait_until(lambda: site.delivery(ids[-1])["state"] == "delivered", "the last one to be settled")
    assert not site.ask("dead", "list").rows, "nobody died of it, though each may be tried only twice"
    accepting.stop()


# -- 15: clock jumps -----------------------------------------------------------------------------------


class _JumpingClock(VirtualClock):
    """The wall clock, which somebody sets; what is slept goes by the other one."""

    off_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.off_ms


@pytest.mark.parametrize("days", [1, -1])
def test_a_wall_clock_that_jumps_makes_no_storm_and_loses_nothing(days: int) -> None:
    """The wall clock of one worker is set by a day while deliveries wait for their retries, and set back later."""

    async def scenario() -> None:
        clock = _JumpingClock()
        sender = ScriptedSender(*[Outcome(OutcomeKind.RETRY, status=500)] * 30)
        async with Works(policy=RetryPolicy(first_ms=10_000, jitter="none"), crm=sender) as works:
            works.clock = works.dispatch._clock = works.deliver._clock = clock
            breaker = works.dispatch._breakers["crm"]
            breaker._policy = replace(breaker._policy, enabled=False)
            await works.store.append([make_append(n) for n in range(1, 11)])
            await settle_down()
            assert len(sender.sent) == 10
            clock.off_ms = days * 86_400_000
            await clock.sleep(5)
            # Forward: each is due at once, and once. Back: none is before its time.
            assert len(sender.sent) == (20 if days > 0 else 10)
            await clock.sleep(5)
            assert len(sender.sent) == (20 if days > 0 else 10), "no storm"
            clock.off_ms = 0
            await clock.sleep(2 * 86_400)
            assert set(await states(works.store)) == {State.DELIVERED}
            assert len(sender.sent) == 40

    run(scenario())
