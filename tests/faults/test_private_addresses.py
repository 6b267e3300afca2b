"""Redirects to a metadata address, and the metadata address itself in every spelling: nobody connects to it.

That a count of 0 says something is shown by the same destinations with `allow_private`, and by a planted sender.
"""

import asyncio
from typing import Any

import pytest

from acceptance.harness import Site
from faults.namespaces import Request, Server, answering, needs_namespaces
from faults.private import METADATA, PRIVATE, PUBLIC, To, Trial, World, outcomes, refused
from faults.private import ONCE as TAKEN

pytestmark = needs_namespaces

TOKEN = """
[destinations.{name}.auth]
scheme = "oauth2-client-credentials"
token_url = "{url}"
client_id = "longstop"
client_secret = "${{BEARER_TOKEN}}"
"""


# -- 21: redirects to a metadata address ----------------------------------------------------------

STATUSES = (301, 302, 303, 307, 308)
FOLLOWING = """
from aiohttp import ClientSession

post = ClientSession.post

def following(self, url, **options):
    return post(self, url, **{**options, "allow_redirects": True})

ClientSession.post = following
"""


async def redirect(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Redirect with the status that the path names."""
    answer = answering(int(request.target[1:]), f"Location: http://{METADATA}/latest/meta-data/")
    await answer(request, reader, writer)


def redirected(site: Site, world: World, host: str, plant: str = "") -> tuple[Server, dict[str, list[Any]]]:
    """The server at the metadata address, and the attempts at destinations, and a token endpoint, that lead there."""
    metadata = world.serve(answering(200, "Connection: close", body=b"role credentials"), METADATA)
    world.serve(redirect, host, ports=[8080])
    # On loopback they may be private: not following is then all that keeps it away.
    private = host != PUBLIC
    destinations = [To(f"by-{status}", f"http://{host}:8080/{status}", private) for status in STATUSES]
    token = TOKEN.format(name="token", url=f"http://{host}:8080/307")
    trial = Trial(site, world, *destinations, To("token", f"http://{host}:8080/200", private, more=token))
    trial.start(plant)
    return metadata, trial.deliver()


@pytest.mark.parametrize("host", ["127.0.0.1", PUBLIC])
def test_a_redirect_to_a_metadata_address_is_a_failure_and_makes_no_connection(
    host: str, site: Site, world: World
) -> None:
    metadata, ended = redirected(site, world, host)
    assert not metadata.connections
    for status in STATUSES:
        told = [(each["outcome"], each["status"], each["error"]) for each in ended[f"by-{status}"]]
        assert told == [("retry", status, f"HTTP {status}")] * 2
    said = f"no token: {host}:8080 answered HTTP 307; redirects are not followed"
    assert [attempt["error"].startswith(said) for attempt in ended["token"]] == [True, True]


def test_the_count_finds_a_sender_that_follows_redirects(site: Site, world: World) -> None:
    metadata, ended = redirected(site, world, "127.0.0.1", FOLLOWING)
    # Each destination once, because it is delivered then; the token twice, because credentials are no token.
    assert metadata.connections == {METADATA: len(STATUSES) + 2}
    assert "role credentials" in str(ended["by-307"]), "and whoever reads the answer that was kept has them"


# -- 21 and 23: the metadata address itself, however it is written --------------------------------

SPELLINGS = {
    "plain": (METADATA, METADATA),
    "hex": ("0xa9fea9fe", METADATA),
    "mixed": ("0xa9.254.0251.0xfe", METADATA),
    "mapped": (f"[::ffff:{METADATA}]", "::ffff:a9fe:a9fe"),
    "nat64": ("[64:ff9b::a9fe:a9fe]", "64:ff9b::a9fe:a9fe"),
    "named": ("metadata.test", METADATA),
}
"""What stands in the URL, and the address that it comes to."""


def spelled(site: Site, world: World, private: bool) -> tuple[Server, dict[str, list[Any]]]:
    """The server at the private addresses, and the attempts to reach it by each spelling, and for a token."""
    world.resolve({"metadata.test": [[METADATA]]})
    server = world.serve(TAKEN, *PRIVATE)
    urls = {name: f"http://{host}/latest/meta-data/" for name, (host, _) in SPELLINGS.items()}
    token = To("token", f"http://{PUBLIC}/", private, more=TOKEN.format(name="token", url=urls["plain"]))
    trial = Trial(site, world, *(To(name, url, private) for name, url in urls.items()), token)
    trial.start()
    return server, trial.deliver()


def test_the_metadata_address_is_refused_however_it_is_written(site: Site, world: World) -> None:
    server, ended = spelled(site, world, private=False)
    assert not server.connections
    for name, (_, address) in SPELLINGS.items():
        for attempt in ended[name]:
            assert refused(attempt, address), attempt["error"]
    said = f"no token: address {METADATA} of host {METADATA} is private; set allow_private = true"
    assert [attempt["error"].startswith(said) for attempt in ended["token"]] == [True, True]


def test_every_spelling_leads_there_where_private_addresses_are_allowed(site: Site, world: World) -> None:
    server, ended = spelled(site, world, private=True)
    assert len(ended.pop("token")) == 2, "an empty answer is no token"
    assert outcomes(ended) == ["success"] * len(SPELLINGS)
    assert server.connections == {METADATA: len(SPELLINGS) - 1 + 2, "64:ff9b::a9fe:a9fe": 1}
