"""Redirects to a metadata address, and the metadata address itself in every spelling: nobody connects to it.

That a count of 0 says something is shown by the same destinations with `allow_private`, and by a planted sender.
"""

import asyncio
from collections.abc import Iterable, Sequence
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

NAT64 = "64:ff9b::a9fe:a9fe"
SPELLINGS = {
    # What a resolver reads as an address though it is none of four decimal numbers.
    METADATA: METADATA,
    "0xa9fea9fe": METADATA,
    "0XA9FEA9FE": METADATA,
    "0xa9.0xfe.0xa9.0xfe": METADATA,
    "0xa9.254.0251.0xfe": METADATA,
    "0xa9.0xfea9fe": METADATA,
    "169.254.0xa9fe": METADATA,
    "169.0xfe.43518": METADATA,
    # Digits and dots of other scripts, which stand for those of this one in a name (IDNA).
    "１６９.２５４.１６９.２５４": METADATA,
    "169。254。169。254": METADATA,
    "169．254．169．254": METADATA,
    "169｡254｡169｡254": METADATA,
    "①⑥⑨.②⑤④.①⑥⑨.②⑤④": METADATA,
    # An IPv4 address within one of IPv6.
    f"[::ffff:{METADATA}]": "::ffff:a9fe:a9fe",
    "[::ffff:a9fe:a9fe]": "::ffff:a9fe:a9fe",
    "[0:0:0:0:0:ffff:a9fe:a9fe]": "::ffff:a9fe:a9fe",
    "[0000:0000:0000:0000:0000:FFFF:A9FE:A9FE]": "::ffff:a9fe:a9fe",
    "[64:ff9b::a9fe:a9fe]": NAT64,
    f"[64:ff9b::{METADATA}]": NAT64,
    # Names.
    "metadata.test": METADATA,
    "METADATA.test": METADATA,
    "metadata.test.": METADATA,
}
"""What stands in the URL, and the address that it comes to: all of them lead there where they may."""
NOWHERE = {
    "[::a9fe:a9fe]": "::a9fe:a9fe",
    f"[::{METADATA}]": "::a9fe:a9fe",
    "[::ffff:0:a9fe:a9fe]": "::ffff:0:a9fe:a9fe",
    "[64:ff9b:1::a9fe:a9fe]": "64:ff9b:1::a9fe:a9fe",
    "[2002:a9fe:a9fe::]": "2002:a9fe:a9fe::",
    "[2002:a9fe:a9fe::1]": "2002:a9fe:a9fe::1",
    "[2001:0:a9fe:a9fe::1]": "2001:0:a9fe:a9fe::1",
    "[fd00:ec2::254]": "fd00:ec2::254",
    "[::]": "::",
    "0.0.0.0": "0.0.0.0",
}
"""More that a guard may take for public. In this world they lead nowhere, elsewhere a router may know a way."""
NO_NAMES = ("%31%36%39.254.169.254", "169%2E254%2E169%2E254", f"{METADATA}%00.example", f"{METADATA}%20")
"""What no resolver finds, unless somebody undoes its escapes after it was looked at."""
ZONED = (f"[::ffff:{METADATA}%25lo]", "[fe80::a9fe:a9fe%25lo]")
HALF_ADDRESSES = (
    "2852039166",
    "025177524776",
    "0251.0376.0251.0376",
    "0251.254.169.254",
    "169.254.43518",
    "169.16689662",
    f"{METADATA}.",
    "169.254.169.0254",
    "١٦٩.٢٥٤.١٦٩.٢٥٤",
)
"""Digits and dots that some read as an address, and others as a name or not at all."""
TWO_HOSTS = (
    f"public.test@{METADATA}",
    f"public.test:80@{METADATA}",
    f"{METADATA}#@public.test",
    f"{METADATA}\\\\@public.test",
    f"public.test\\\\@{METADATA}",
)
"""What some read as one host and others as another. (A backslash stands twice in TOML.)"""


def urls_of(hosts: Iterable[str]) -> dict[str, str]:
    """URLs by names of destinations."""
    return {f"d{number}": f"http://{host}/latest/meta-data/" for number, host in enumerate(hosts)}


def spelled(site: Site, world: World, private: bool, hosts: Sequence[str]) -> tuple[Server, dict[str, list[Any]]]:
    """The server at the private addresses, and the attempts to reach it by each spelling, and for a token."""
    world.resolve({"metadata.test": [[METADATA]]})
    server = world.serve(TAKEN, *PRIVATE)
    urls = urls_of(hosts)
    token = To("token", f"http://{PUBLIC}/", private, more=TOKEN.format(name="token", url=urls["d0"]))
    trial = Trial(site, world, *(To(name, url, private) for name, url in urls.items()), token)
    trial.start()
    ended = trial.deliver()
    return server, {**{host: ended[name] for name, host in zip(urls, hosts, strict=True)}, "token": ended["token"]}


def test_the_metadata_address_is_refused_however_it_is_written(site: Site, world: World) -> None:
    told = {**SPELLINGS, **NOWHERE}
    server, ended = spelled(site, world, False, [*told, *NO_NAMES, *ZONED])
    assert not server.connections
    for host, address in told.items():
        for attempt in ended[host]:
            assert refused(attempt, address), attempt["error"]
    assert {attempt["outcome"] for host in (*NO_NAMES, *ZONED) for attempt in ended[host]} == {"retry"}
    said = f"no token: address {METADATA} of host {METADATA} is private; set allow_private = true"
    assert [attempt["error"].startswith(said) for attempt in ended["token"]] == [True, True]


def test_every_spelling_leads_there_where_private_addresses_are_allowed(site: Site, world: World) -> None:
    server, ended = spelled(site, world, True, list(SPELLINGS))
    assert len(ended.pop("token")) == 2, "an empty answer is no token"
    assert outcomes(ended) == ["success"] * len(SPELLINGS)
    carried = list(SPELLINGS.values()).count(NAT64)
    assert server.connections == {METADATA: len(SPELLINGS) - carried + 2, NAT64: carried}


@pytest.mark.parametrize("hosts", [HALF_ADDRESSES, TWO_HOSTS], ids=["half addresses", "two hosts"])
def test_what_is_read_in_two_ways_is_refused_before_anything_starts(hosts: Sequence[str], site: Site) -> None:
    urls = urls_of(hosts)
    site.configure(more="".join(f'[destinations.{name}]\nurl = "{url}"\n' for name, url in urls.items()))
    ran = site.cli("check")
    assert ran.exit != 0
    said = ran.err + ran.out.decode()
    assert [name for name in urls if f"destinations.{name}.url" not in said] == []
