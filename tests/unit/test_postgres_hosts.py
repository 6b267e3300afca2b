"""A URL of several hosts: each has its share of the time, and the last that took a connection is asked first."""

from pathlib import Path
from typing import Any

import pytest

from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres.database import PostgresDatabase, ServerSettings
from longstop.stores.postgres.failures import said
from longstop.stores.postgres.hosts import Hosts, called, one_by_one

THREE = "postgresql://me@a,b,c/inbox"


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        ("postgresql:///db", ["postgresql:///db"]),
        ("postgresql://me:p%40@db:6432/inbox?sslmode=require", ["postgresql://me:p%40@db:6432/inbox?sslmode=require"]),
        ("postgresql://me@a:1,[::1]:2/db?x=1", ["postgresql://me@a:1/db?x=1", "postgresql://me@[::1]:2/db?x=1"]),
        ("postgresql://me@[::1],[::2]/db", ["postgresql://me@[::1]/db", "postgresql://me@[::2]/db"]),
        ("postgresql://me@/db?host=/a,/b", ["postgresql://me@/db?host=/a", "postgresql://me@/db?host=/b"]),
        (
            "postgresql://me@/db?host=/a,/b&port=1,2",
            ["postgresql://me@/db?host=/a&port=1", "postgresql://me@/db?host=/b&port=2"],
        ),
        (
            "postgresql://me@/db?host=/a,/b&port=1",
            ["postgresql://me@/db?host=/a&port=1", "postgresql://me@/db?host=/b&port=1"],
        ),
    ],
)
def test_each_host_has_the_whole_url_for_itself(url: str, alone: list[str]) -> None:
    assert list(one_by_one(url)) == alone


class Network:
    """Which hosts take connections, and who was asked."""

    def __init__(self, *taking: str) -> None:
        self.taking = set(taking)
        self.asked: list[tuple[str, float]] = []

    async def connect(self, url: str, within_s: float) -> Any:
        host = url.partition("@")[2].partition("/")[0]
        self.asked.append((host, within_s))
        if host not in self.taking:
            raise TimeoutError(f"{host} says nothing")
        return host


async def test_one_that_says_nothing_has_its_share_of_the_time_and_no_more() -> None:
    network = Network("c")
    assert await Hosts(THREE).connect(network.connect, 6.0) == "c"
    assert network.asked == [("a", 2.0), ("b", 2.0), ("c", 2.0)]


async def test_the_last_that_took_it_is_asked_first() -> None:
    network, hosts = Network("b"), Hosts(THREE)
    await hosts.connect(network.connect, 6.0)
    network.asked.clear()
    await hosts.connect(network.connect, 6.0)
    assert [host for host, _ in network.asked] == ["b"]
    network.taking = {"a"}
    network.asked.clear()
    assert await hosts.connect(network.connect, 6.0) == "a"
    assert [host for host, _ in network.asked] == ["b", "a"]


async def test_where_none_takes_it_each_is_named_with_what_it_said() -> None:
    with pytest.raises(ConnectionError, match=r"^a: a says nothing; b: b says nothing; c: c says nothing$"):
        await Hosts(THREE).connect(Network().connect, 6.0)
    with pytest.raises(ConnectionError, match=r"^a: a says nothing$"):
        await Hosts("postgresql://me:secret@a/inbox").connect(Network().connect, 6.0)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db:6432/inbox?sslmode=require", "db:6432"),
        ("postgresql://me:secret@[::1]/inbox", "[::1]"),
        ("postgresql://me@/inbox?host=/run/postgresql&port=1", "/run/postgresql:1"),
        ("postgresql:///inbox", "this machine"),
    ],
)
def test_a_host_is_called_by_its_name_alone(url: str, name: str) -> None:
    assert called(url) == name


async def test_a_certificate_that_nobody_named_and_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = ServerSettings("postgresql://me:secret@localhost/inbox?sslmode=verify-full")
    with pytest.raises(StoreUnavailableError) as raised:
        await PostgresDatabase(settings).open()
    assert str(raised.value).startswith("PostgreSQL: localhost: root certificate file")
    assert f"{tmp_path}/.postgresql/root.crt" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(), "the connection broke (ConnectionResetError)"),
        (ConnectionRefusedError("connection refused"), "connection refused"),
    ],
)
def test_what_a_driver_leaves_unsaid_is_said(error: BaseException, words: str) -> None:
    assert said(error) == f"PostgreSQL: {words}"
