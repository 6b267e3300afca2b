"""Whose address a request has behind proxies: only what trusted ones wrote is believed."""

import pytest

from longstop.edges.senders_http.proxies import TrustedProxies
from longstop.model.event import Headers

PROXIES = ("10.0.0.0/8", "2001:db8::/32", "fe80::/10")


def client(peer: str | None, *forwarded: str, trusted: tuple[str, ...] = PROXIES) -> str | None:
    return TrustedProxies(trusted).client(peer, Headers([("X-Forwarded-For", each) for each in forwarded]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        # Nobody trusted stands in between: the header is anybody's.
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        # What stands left of the last untrusted hop was written by a stranger.
        ("10.0.0.1", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.1, 10.9.9.9",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1", "198.51.100.1", "10.9.9.9"), "198.51.100.1"),
        ("10.0.0.1", ("10.2.2.2, 10.9.9.9",), "10.2.2.2"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("2001:db8::1", ("[2001:4860::1]:443",), "2001:4860::1"),
        ("10.0.0.1", ("198.51.100.1:5555",), "198.51.100.1"),
        # A hop that is no address is nobody, and what is left of it is not looked at.
        ("10.0.0.1", ("198.51.100.1, unknown",), None),
        ("10.0.0.1", ("",), None),
        ("10.0.0.1", ("[203.0.113.9]junk",), None),
        ("10.0.0.1", ("[203.0.113.9]",), None),
        ("10.0.0.1", ("[2001:4860::1]junk",), None),
        ("10.0.0.1", ("[2001:4860::1]:x",), None),
        ("10.0.0.1", ("[2001:4860::1",), None),
        ("10.0.0.1", ("2001:4860::1]",), None),
        ("10.0.0.1", ("203.0.113.9:",), None),
        ("10.0.0.1", ("203.0.113.9:http",), None),
        ("10.0.0.1", ("203.0.113.9:80:80",), None),
        ("10.0.0.1", ("203.0.113.9 junk",), None),
        ("10.0.0.1", ("203.0.113.09",), None),
        ("10.0.0.1", ("fe80::1%eth0",), None),
        ("10.0.0.1", ("for=203.0.113.9",), None),
        ("10.0.0.1", ("\t203.0.113.9 ",), "203.0.113.9"),
        ("fe80::1%eth0", ("198.51.100.1",), "198.51.100.1"),
        (None, ("198.51.100.1",), None),
    ],
)
def test_the_last_hop_that_no_trusted_proxy_stands_for(
    peer: str | None, forwarded: tuple[str, ...], found: str | None
) -> None:
    assert client(peer, *forwarded) == found


def test_without_trusted_proxies_the_peer_is_the_sender() -> None:
    assert client("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"
