"""A socket that systemd hands on: taken where it is meant for this process and is the one that senders connect to."""

import os
import re
import socket
from collections.abc import Iterator

import pytest

from longstop.edges.senders_http import inherited
from longstop.edges.senders_http.inherited import inherited as taken
from longstop.edges.senders_http.server import ListenError

MEANT = {"LISTEN_PID": "7", "LISTEN_FDS": "1"}


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What is handed on: a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        monkeypatch.setattr(inherited, "FIRST", os.dup(made.fileno()))
        yield made


def test_the_socket_is_taken_and_no_child_gets_it(first: socket.socket) -> None:
    os.set_inheritable(inherited.FIRST, True)
    found = taken(MEANT, 7)
    assert found is not None
    with found:
        assert found.getsockname() == first.getsockname()
        assert not found.get_inheritable()


@pytest.mark.parametrize("environ", [{}, {"LISTEN_FDS": "1"}, {**MEANT, "LISTEN_PID": "8"}])
def test_what_is_meant_for_another_process_is_left_alone(environ: dict[str, str]) -> None:
    assert taken(environ, 7) is None


@pytest.mark.parametrize("count", ["2", "0", "", "x"])
def test_several_or_none_are_refused(count: str) -> None:
    with pytest.raises(ListenError, match=r"sockets handed on by systemd .* expected one listening TCP socket"):
        taken({**MEANT, "LISTEN_FDS": count}, 7)


def test_what_is_no_listening_tcp_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as idle:
        for wrong in (datagrams.fileno(), idle.fileno(), reader):
            monkeypatch.setattr(inherited, "FIRST", wrong)
            with pytest.raises(ListenError, match=re.escape(f"at descriptor {wrong}")):
                taken(MEANT, 7)
            assert os.fstat(wrong), "it may be anybody's, and is left open"
    os.close(reader)
    os.close(writer)
    monkeypatch.setattr(inherited, "FIRST", 9_999)
    with pytest.raises(ListenError, match="no socket at descriptor 9999"):
        taken(MEANT, 7)
