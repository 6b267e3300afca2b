"""Addresses that requests come from: whether one is in a network, and who counts as one sender."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

SENDER_BITS_V6 = 64
"""Of an IPv6 address: who has one has the whole network behind it (RFC 6177)."""


def is_within(client: str | None, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of the networks. One that is not known is in none."""
    address = _address(client)
    return address is not None and any(address in network for network in networks)


def sender_of(client: str | None) -> str:
    """By what shares are counted: an IPv4 address, or the network that an IPv6 address is in; empty if not known."""
    address = _address(client)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, SENDER_BITS_V6), strict=False))
    return "" if address is None else str(address)


def is_loopback(host: str) -> bool:
    """Whether a host that is listened on is this machine's alone."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(client: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(client or "")
    except ValueError:
        return None
    # A socket for both families tells of an IPv4 peer as ::ffff:a.b.c.d.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
