"""A small world with addresses that look public and addresses that are private, and a gateway on trial in it.

At every address of it is a server that counts who connects. What a sender should not reach, it would reach in here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from acceptance.harness import Process, Site, wait_until
from faults.namespaces import Behaviour, Namespace, Server, Servers, answering

PUBLIC, PUBLIC_6, DEAD = "8.8.8.8", "2606:4700::1111", "9.9.9.9"
"""Addresses of the public Internet, in here on the loopback. At DEAD nobody listens: who connects is refused."""
METADATA = "169.254.169.254"
PRIVATE = ("127.0.0.1", "10.9.9.9", METADATA, "::1", "fd00::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe")
ONCE = answering(200, "Connection: close")
"""An answer after which nothing is left to be used again: the next attempt connects anew."""

DESTINATION = """
[destinations.{name}]
url = "{url}"
allow_private = {private}
timeout = "20s"
retry = {{ attempts = {attempts}, first = "10ms", cap = "50ms" }}
breaker = {{ enabled = false }}
{more}
"""


class World:
    """A namespace that has these addresses."""

    def __init__(self, namespace: Namespace, servers: Servers) -> None:
        self.namespace = namespace
        self._servers = servers
        namespace.own(PUBLIC, PUBLIC_6, DEAD, *(each for each in PRIVATE if each not in ("127.0.0.1", "::1")))

    def serve(self, behave: Behaviour, *addresses: str, ports: Sequence[int] = (80,), tls: Any = None) -> Server:
        """Serve at all of these addresses and ports."""
        sockets = [self.namespace.listen(address, port) for address in addresses for port in ports]
        return self._servers.serve(behave, *sockets, tls=tls)

    def resolve(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Have names answered so; see Resolver."""
        self._servers.resolve(self.namespace.ask_resolver(), answers)


@dataclass(frozen=True)
class To:
    """A destination."""

    name: str
    url: str
    private: bool = False
    """Whether it may be private."""
    attempts: int = 2
    more: str = ""


class Trial:
    """A gateway in the world, whose every event goes to all destinations."""

    def __init__(self, site: Site, world: World, *destinations: To) -> None:
        self._site, self._world = site, world
        names = json.dumps([each.name for each in destinations])
        site.configure(
            more="".join(
                DESTINATION.format(
                    name=each.name,
                    url=each.url,
                    private=json.dumps(each.private),
                    attempts=each.attempts,
                    more=each.more,
                )
                for each in destinations
            ),
            routes=f'\n[[routes]]\nfrom = "shop"\nto = {names}\n',
        )
        site.within = world.namespace.within

    def start(self, plant: str = "") -> Process:
        """A gateway that runs. plant: Python that runs first."""
        return self._site.start(prelude=plant).ready()

    def accept(self, number: int = 1) -> str:
        """Post an event; its id."""
        body = json.dumps({"id": f"order-{number}", "type": "paid", "customer": "c"}).encode()
        return self._world.namespace.inside(lambda: self._site.accept("shop", body))

    def deliver(self, number: int = 1) -> dict[str, list[Any]]:
        """Post an event; its attempts, when all of its deliveries have ended."""
        id_ = self.accept(number)
        wait_until(lambda: self.over(id_), "all deliveries to end")
        return self.attempts(id_)

    def attempts(self, id_: str) -> dict[str, list[Any]]:
        """What is recorded of an event's deliveries, by destination."""
        event = self._site.event(id_)
        names = [each["destination"] for each in event["deliveries"]]
        return dict(zip(names, [each["attempts"] for each in event["history"]], strict=True))

    def over(self, id_: str) -> bool:
        """Whether all deliveries of an event have ended."""
        return {each["state"] for each in self._site.event(id_)["deliveries"]} <= {"delivered", "dead"}


def refused(attempt: Any, address: str) -> bool:
    """Whether an attempt ended because this address is private, and says so."""
    said = re.fullmatch(
        r"address (\S+) of host \S+ is private; set allow_private = true on destination \S+ "
        r"if it is meant to be reached",
        attempt["error"],
    )
    # Not as texts: Pythons differ in how they write an IPv4-mapped address.
    named = said and ip_address(said[1]) == ip_address(address)
    return bool(named) and (attempt["outcome"], attempt["status"]) == ("retry", None)


def outcomes(ended: Mapping[str, list[Any]]) -> list[str]:
    """Of all attempts."""
    return [attempt["outcome"] for attempts in ended.values() for attempt in attempts]
