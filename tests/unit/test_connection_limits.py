"""What one connection may cost the others: turns, memory, time. Spoken to without a network, on a virtual clock."""

import asyncio
from typing import Any

import pytest
from services import on_virtual_time
from test_connection_fuzz import BODY, POST, SIGNED, Wire, statuses
from test_ingest import Gate

from longstop.edges.senders_http import connection as limits
from longstop.edges.senders_http.app import IngestApp
from longstop.edges.senders_http.body_limits import BODY_WINDOW_BYTES, BODY_WINDOW_S, BODY_WITHIN_S
from longstop.edges.senders_http.connection import HEAD_WITHIN_S, SLICE_BYTES, UNREAD_WITHIN_S, Connection
from longstop.edges.senders_http.server import SendersServer
from longstop.testing.clock import VirtualClock

NOWHERE = b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
READ_AT_ONCE = 256 * 1024
"""So much an event loop hands over at once."""
HEAD_ONLY = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%scontent-length: 1000000\r\n\r\n" % SIGNED
CHUNKED_HEAD = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%stransfer-encoding: chunked\r\n\r\n" % SIGNED


class Socket(Wire):
    """A transport whose other side may not read, with the limits that asyncio has."""

    HIGH_WATER = 64 * 1024

    def __init__(self, server: SendersServer, reads: bool = True, address: str = "127.0.0.1") -> None:
        super().__init__()
        self.reads, self.is_paused, self.is_cut = reads, False, False
        self.address = address
        self.connection = Connection(server)
        self.connection.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.address, 1) if name == "peername" else default

    def write(self, data: bytes) -> None:
        before = self.get_write_buffer_size()
        super().write(data)
        if before <= self.HIGH_WATER < self.get_write_buffer_size():
            self.connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return 0 if self.reads else len(self.written)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def read_all(self) -> None:
        self.reads = True
        self.connection.resume_writing()

    def abort(self) -> None:
        self.closed = self.is_cut = True
        self.connection.connection_lost(None)

    def answers(self) -> int:
        return self.written.count(b"HTTP/1.1 ")


def made() -> SendersServer:
    return SendersServer(IngestApp(Gate().ingest), None, VirtualClock())  # type: ignore[arg-type]


async def until_quiet(server: SendersServer) -> None:
    while server.tasks or server._turns:
        await asyncio.sleep(0)


@on_virtual_time
async def test_whoever_asks_for_much_at_once_gives_others_a_turn() -> None:
    server = made()
    loud = [Socket(server) for _ in range(10)]
    quiet = Socket(server)
    much = NOWHERE * (READ_AT_ONCE // len(NOWHERE))
    for each in loud:
        each.connection.data_received(much)
    assert sum(each.answers() for each in loud) == 0
    # What came a moment later: the event loop looks at it in its next turn.
    asyncio.get_running_loop().call_soon(quiet.connection.data_received, HEALTH)
    while not quiet.written:
        await asyncio.sleep(0)
    a_slice = SLICE_BYTES // len(NOWHERE) + 1
    assert sum(each.answers() for each in loud) <= 2 * a_slice
    await until_quiet(server)
    assert [each.answers() for each in loud] == [READ_AT_ONCE // len(NOWHERE)] * len(loud)


@on_virtual_time
async def test_who_asks_for_much_again_and_again_waits_for_a_turn_each_time() -> None:
    server = made()
    loud = [Socket(server) for _ in range(100)]
    piece = NOWHERE * (SLICE_BYTES // len(NOWHERE))
    for each in loud:
        each.connection.data_received(piece)
    began = sum(each.answers() for each in loud)
    for each in loud:
        each.connection.data_received(piece)
    assert sum(each.answers() for each in loud) == began
    await until_quiet(server)
    assert sum(each.answers() for each in loud) == 2 * began


@on_virtual_time
async def test_nothing_more_is_read_while_something_is_left_to_parse() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(NOWHERE * 5_000)
    assert wire.is_paused
    await until_quiet(server)
    assert not wire.is_paused


@pytest.mark.parametrize("request_", [NOWHERE, HEALTH, NOWHERE.replace(b"GET", b"OPTIONS"), POST])
@on_virtual_time
async def test_answers_that_are_not_read_are_not_made(request_: bytes) -> None:
    server = made()
    wire = Socket(server, reads=False)
    sent = 0
    for _ in range(40):
        if wire.is_paused:
            break
        wire.connection.data_received(request_ * (READ_AT_ONCE // len(request_)))
        sent += READ_AT_ONCE // len(request_)
        await until_quiet(server)
    assert wire.is_paused
    assert len(wire.written) < 2 * Socket.HIGH_WATER
    wire.read_all()
    await until_quiet(server)
    assert wire.answers() == sent
    assert not wire.is_paused


@on_virtual_time
async def test_who_never_reads_is_cut_off() -> None:
    server = made()
    wire = Socket(server, reads=False)
    wire.connection.data_received(NOWHERE * 5_000)
    await until_quiet(server)
    await asyncio.sleep(UNREAD_WITHIN_S - 0.1)
    assert not wire.is_cut
    await asyncio.sleep(0.2)
    assert wire.is_cut
    assert not server._connections


@on_virtual_time
async def test_who_never_reads_the_last_answer_is_cut_off_too() -> None:
    server = made()
    wire = Socket(server, reads=False)
    wire.connection.data_received(HEALTH.replace(b"host: h", b"host: h\r\nconnection: close"))
    assert (wire.answers(), wire.closed, wire.is_cut) == (1, True, False)
    await asyncio.sleep(UNREAD_WITHIN_S + 0.1)
    assert wire.is_cut


@on_virtual_time
async def test_who_read_once_and_then_no_more_is_cut_off_as_well() -> None:
    server = made()
    wire = Socket(server, reads=False)
    wire.connection.data_received(NOWHERE * 5_000)
    await until_quiet(server)
    wire.read_all()
    await until_quiet(server)
    wire.reads = False
    wire.connection.data_received(HEALTH.replace(b"host: h", b"host: h\r\nconnection: close"))
    wire.connection.resume_writing()
    await asyncio.sleep(UNREAD_WITHIN_S + 0.1)
    assert wire.is_cut


@on_virtual_time
async def test_a_fault_in_one_turn_does_not_end_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    server = made()
    first, second = Socket(server), Socket(server)
    loop = asyncio.get_running_loop()
    faults: list[Any] = []
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    for each in (first, second):
        each.connection.data_received(NOWHERE * 5_000)
    monkeypatch.setattr(first.connection, "take_turn", lambda: 1 / 0)
    await until_quiet(server)
    assert second.answers() == 5_000
    assert [type(each) for each in faults] == [ZeroDivisionError]


@on_virtual_time
async def test_trailers_have_the_time_of_a_head() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(CHUNKED_HEAD + b"1\r\n{\r\n0\r\nx: y\r\nz: ")
    await asyncio.sleep(HEAD_WITHIN_S + 0.1)
    assert statuses(wire.written) == [408]
    assert len(server.app.bodies) == 0


@on_virtual_time
async def test_a_body_that_nobody_wants_has_an_end() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(b"POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{")
    assert statuses(wire.written) == [404]
    for _ in range(6):
        assert not wire.closed
        wire.connection.data_received(b" ")
        await asyncio.sleep(HEAD_WITHIN_S / 5.9)
    assert wire.closed


@on_virtual_time
async def test_after_an_early_answer_only_so_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SWALLOW_BYTES_MAX", 1_000)
    wire = Socket(made())
    wire.connection.data_received(b"POST /nowhere HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(10):
        assert not wire.closed
        wire.connection.data_received(b"x" * 100)
    assert wire.closed
    assert statuses(wire.written) == [404]


@on_virtual_time
async def test_and_only_for_so_long() -> None:
    wire = Socket(made())
    wire.connection.data_received(b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n\r\n")
    assert statuses(wire.written) == [411]
    await asyncio.sleep(limits.SWALLOW_WITHIN_S - 0.1)
    assert not wire.closed
    await asyncio.sleep(0.2)
    assert wire.closed


@on_virtual_time
async def test_tiny_chunks_take_no_more_memory_than_their_body() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(CHUNKED_HEAD + b"2\r\nxy\r\n" * 30_000)
    await until_quiet(server)
    assert (type(wire.connection._body), len(wire.connection._body)) == (bytearray, 60_000)
    assert server.app.bodies.held == 60_000
    wire.abort()
    assert (server.app.bodies.held, len(wire.connection._body)) == (0, 0)


async def drip(wire: Socket, piece: bytes, every_s: float) -> float:
    """For how long it is taken."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not wire.written:
        wire.connection.data_received(piece)
        await asyncio.sleep(every_s)
    return loop.time() - began_s


@on_virtual_time
async def test_a_body_has_to_get_on() -> None:
    wire = Socket(made())
    wire.connection.data_received(HEAD_ONLY)
    assert BODY_WINDOW_S <= await drip(wire, b"x" * 1024, 1.0) <= BODY_WINDOW_S + 2
    assert statuses(wire.written) == [408]


@on_virtual_time
async def test_and_to_come_to_an_end() -> None:
    wire = Socket(made())
    wire.connection.data_received(HEAD_ONLY.replace(b"1000000", b"9000000"))
    enough = BODY_WINDOW_BYTES // int(BODY_WINDOW_S) + 1024
    assert BODY_WITHIN_S <= await drip(wire, b"x" * enough, 1.0) <= BODY_WITHIN_S + 2
    assert statuses(wire.written) == [408]


@on_virtual_time
async def test_blank_lines_do_not_keep_a_connection() -> None:
    wire = Socket(made())
    wire.connection.data_received(b"\r\n")
    await asyncio.sleep(HEAD_WITHIN_S + 0.1)
    assert wire.closed
    assert not wire.written


@on_virtual_time
async def test_a_head_that_waits_behind_an_answer_is_not_slow() -> None:
    wire = Socket(made(), reads=False)
    wire.HIGH_WATER = 1
    wire.connection.data_received(HEALTH + HEALTH[:10])
    await asyncio.sleep(HEAD_WITHIN_S + 1)
    wire.read_all()
    wire.connection.data_received(HEALTH[10:])
    assert statuses(wire.written) == [200, 200]


@on_virtual_time
async def test_behind_the_last_request_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    server, begun = made(), []
    begin = server.app.begin

    def counted(*asked: Any) -> Any:
        begun.append(asked)
        return begin(*asked)

    monkeypatch.setattr(server.app, "begin", counted)
    wire = Socket(server)
    wire.connection.data_received(POST.replace(b"HTTP/1.1", b"HTTP/1.0\r\nconnection: keep-alive") + POST)
    await until_quiet(server)
    assert (statuses(wire.written), len(begun), wire.closed) == ([200], 1, True)


@on_virtual_time
async def test_who_has_sent_all_and_says_so_is_answered() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(POST + POST)
    assert wire.connection.eof_received()
    await until_quiet(server)
    assert statuses(wire.written) == [200, 200]
    assert wire.closed


@on_virtual_time
async def test_and_when_all_is_answered_the_connection_ends() -> None:
    server = made()
    wire = Socket(server)
    wire.connection.data_received(NOWHERE * 5_000)
    assert wire.connection.eof_received()
    await until_quiet(server)
    assert (wire.answers(), wire.closed) == (5_000, True)


@on_virtual_time
async def test_who_leaves_in_the_middle_is_not_waited_for() -> None:
    wire = Socket(made())
    wire.connection.data_received(POST[: -len(BODY) + 1])
    assert not wire.connection.eof_received()
