"""Names that change their answer, and answers of several addresses: each address is checked as it is dialled.

The names are asked for on the way that everybody's are, of a resolver of the tests' own. That a count of 0 says
something is shown by the same names with `allow_private`, and by planted senders.
"""

import ssl
from pathlib import Path
from typing import Any

from acceptance.harness import Site, wait_until
from faults.namespaces import Server, answering, needs_namespaces
from faults.private import DEAD, ONCE, PRIVATE, PUBLIC, PUBLIC_6, To, Trial, World, outcomes, refused
from unit.certificates import Authority

pytestmark = needs_namespaces


# -- a name that changes its answer ---------------------------------------------------------------

CHECKED_THEN_DIALLED = """
import asyncio, socket
from longstop.senders import connection
from longstop.senders.addresses import PrivateAddressError, is_public
from longstop.senders.http import HttpSender

post = HttpSender._post

async def check_and_post(self, *given):
    for found in await asyncio.get_running_loop().getaddrinfo(self._url.host, self._url.port):
        if not is_public(found[4][0]):
            raise PrivateAddressError(found[4][0])
    return await post(self, *given)

HttpSender._post = check_and_post
connection.public_socket = lambda found: socket.socket(*found[:3])
"""


def rebound(site: Site, world: World, plant: str = "") -> tuple[Server, list[Any]]:
    """The server at private addresses, and the attempts at a name that is public when asked for first, and never again.

    An answer is used for some seconds. So the gateway is stopped after its first attempts, and another goes on.
    """
    world.resolve({"rebind.test": [[PUBLIC], ["127.0.0.1"]]})
    world.serve(answering(503, "Connection: close"), PUBLIC)
    private = world.serve(ONCE, *PRIVATE)
    trial = Trial(site, world, To("rebind", "http://rebind.test/", attempts=1_000))
    first = trial.start(plant)
    id_ = trial.accept()
    wait_until(lambda: trial.attempts(id_)["rebind"], "the first attempt")
    first.stop()
    before = len(trial.attempts(id_)["rebind"])
    trial.start(plant)
    wait_until(lambda: trial.over(id_) or len(trial.attempts(id_)["rebind"]) > before + 1, "attempts at the second")
    return private, trial.attempts(id_)["rebind"]


def test_a_name_that_was_public_and_is_private_now_is_refused(site: Site, world: World) -> None:
    private, attempts = rebound(site, world)
    assert not private.connections
    assert attempts[0]["status"] == 503, "the first answer was public, and was dialled"
    assert refused(attempts[-1], "127.0.0.1"), attempts[-1]["error"]


def test_the_count_finds_a_sender_that_checks_a_name_and_dials_it_again(site: Site, world: World) -> None:
    private, attempts = rebound(site, world, CHECKED_THEN_DIALLED)
    assert private.connections == {"127.0.0.1": 1}
    assert [attempt["outcome"] for attempt in attempts] == ["success"], "delivered to whoever listens on this machine"


# -- answers of several addresses -----------------------------------------------------------------

MIXED = {
    "public-first": (PUBLIC, "10.9.9.9"),
    "private-first": ("10.9.9.9", PUBLIC),
    "loopback": (PUBLIC, "127.0.0.1"),
    "aaaa-loopback": (PUBLIC, "::1"),
    "aaaa-mapped": (PUBLIC, "::ffff:127.0.0.1"),
    "aaaa-nat64": (PUBLIC, "64:ff9b::7f00:1"),
    "aaaa-local": (PUBLIC, "fd00::1"),
    "public-aaaa": (PUBLIC_6, "127.0.0.1"),
}
ROUNDS = 4
FIRST_CHECKED_ONLY = """
import socket
from longstop.senders import connection
from longstop.senders.addresses import PrivateAddressError, is_public

checked = set()

def socket_of_a_checked_place(found):
    port = found[4][1]
    if port not in checked and not is_public(found[4][0]):
        raise PrivateAddressError(found[4][0])
    checked.add(port)
    return socket.socket(*found[:3])

connection.public_socket = socket_of_a_checked_place
"""
"""Each name has a port of its own; once one of its addresses was found to be public, the name is trusted."""


def mixed(
    site: Site, world: World, private: bool = False, dead: bool = False, plant: str = ""
) -> tuple[Server, list[dict[str, list[Any]]]]:
    """The server at all addresses, and the attempts of some events at names that have a public and a private one.

    dead: nobody listens at the public ones.
    """
    instead = {PUBLIC: DEAD, PUBLIC_6: DEAD} if dead else {}
    world.resolve({f"{name}.test": [[instead.get(each, each) for each in MIXED[name]]] for name in MIXED})
    ports = range(8000, 8000 + len(MIXED))
    server = world.serve(ONCE, *PRIVATE, PUBLIC, PUBLIC_6, ports=ports)
    urls = {name: f"http://{name}.test:{port}/" for name, port in zip(MIXED, ports, strict=True)}
    trial = Trial(site, world, *(To(name, url, private) for name, url in urls.items()))
    trial.start(plant)
    # With each new connection a name's addresses are gone through from another one on.
    return server, [trial.deliver(number) for number in range(ROUNDS)]


def test_of_a_mixed_answer_only_the_public_address_is_dialled(site: Site, world: World) -> None:
    server, ended = mixed(site, world)
    assert [outcomes(each) for each in ended] == [["success"] * len(MIXED)] * ROUNDS
    assert server.connections == {PUBLIC: ROUNDS * (len(MIXED) - 1), PUBLIC_6: ROUNDS}


def test_a_private_address_is_not_what_is_left_where_the_public_one_fails(site: Site, world: World) -> None:
    server, ended = mixed(site, world, dead=True)
    assert not server.connections
    errors = [attempt["error"] for each in ended for attempts in each.values() for attempt in attempts]
    assert len(errors) == 2 * ROUNDS * len(MIXED)
    # What failed last is told: the public address, the private one, or both.
    assert all("refused" in error or "Connect call failed" in error or " private" in error for error in errors)


def test_a_private_address_is_what_is_left_where_it_is_allowed(site: Site, world: World) -> None:
    server, ended = mixed(site, world, private=True, dead=True)
    assert [outcomes(each) for each in ended] == [["success"] * len(MIXED)] * ROUNDS
    assert server.connections == {
        "10.9.9.9": 2 * ROUNDS,
        "127.0.0.1": 3 * ROUNDS,
        **dict.fromkeys(("::1", "fd00::1", "64:ff9b::7f00:1"), ROUNDS),
    }


def test_the_count_finds_a_sender_that_checks_the_first_address_only(site: Site, world: World) -> None:
    server, _ = mixed(site, world, dead=True, plant=FIRST_CHECKED_ONLY)
    assert set(server.connections) == {"10.9.9.9", "127.0.0.1", "::1", "fd00::1", "64:ff9b::7f00:1"}


# -- the name is kept for TLS ---------------------------------------------------------------------

HOST = "bank.test"
DIALLED_BY_ADDRESS = f"""
from longstop.senders.http import HttpSender

made = HttpSender.__init__

def made_for_an_address(self, settings, clock):
    made(self, settings, clock)
    self._url = self._url.with_host("{PUBLIC}")

HttpSender.__init__ = made_for_an_address
"""


def greeted(site: Site, world: World, folder: Path, plant: str = "") -> tuple[Server, list[str | None], list[Any]]:
    """The server at all addresses, the names that were said to it when TLS began, and the attempts."""
    authority = Authority(folder, "ours", HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.server())
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    world.resolve({HOST: [["10.9.9.9", PUBLIC]]})
    server = world.serve(ONCE, *PRIVATE, PUBLIC, ports=[443], tls=context)
    trial = Trial(site, world, To("bank", f"https://{HOST}/events", more=f'tls = {{ ca = "{authority.path}" }}'))
    trial.start(plant)
    return server, names, trial.deliver()["bank"]


def test_a_checked_address_is_greeted_by_its_name(site: Site, world: World, tmp_path: Path) -> None:
    server, names, attempts = greeted(site, world, tmp_path)
    assert names == [HOST]
    assert server.connections == {PUBLIC: 1}
    assert [each.headers["host"] for each in server.requests] == [HOST]
    assert [attempt["outcome"] for attempt in attempts] == ["success"]


def test_the_greeting_finds_a_sender_that_puts_the_address_in_the_place_of_the_name(
    site: Site, world: World, tmp_path: Path
) -> None:
    _, names, attempts = greeted(site, world, tmp_path, DIALLED_BY_ADDRESS)
    assert names == [None, None]
    assert ["certificate verify failed" in attempt["error"] for attempt in attempts] == [True, True]
