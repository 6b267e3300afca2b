"""A URL of several hosts: each has its share of the time, and the last that took a connection is asked first."""

from typing import Any

import pytest

from longstop.stores.postgres.hosts import Hosts, one_by_one

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


async def test_where_none_takes_it_all_that_they_said_is_told() -> None:
    with pytest.raises(ConnectionError, match="a says nothing; b says nothing; c says nothing"):
        await Hosts(THREE).connect(Network().connect, 6.0)
    with pytest.raises(TimeoutError, match="a says nothing"):
        await Hosts("postgresql://me@a/inbox").connect(Network().connect, 6.0)
