"""Which addresses are the public Internet's, and a socket that refuses to be made for any other (SSRF guard).

A destination's name is resolved by whoever owns the name, and may lead to this machine, its neighbours or
a cloud's metadata service. So the check is made at connect time, on the very address that is dialled:
between a check of the name and its use there would be room for another answer.

The list is our own, because the standard library's `is_global` differs between Python versions and lets
through 6to4, NAT64 and parts of 192.0.0.0/24. Sources: the IANA IPv4 and IPv6 Special-Purpose Address
Registries (RFC 6890 and its updates) and the IANA IPv6 address space registry (RFC 4291).
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import AddrInfoType

_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared, behind a carrier's NAT (RFC 6598); one cloud's metadata lives here
            "127.0.0.0/8",  # loopback (RFC 1122)
            "168.63.129.16/32",  # Azure's host agent: looks public, is only ever the machine's own host
            "169.254.0.0/16",  # link-local (RFC 3927), with the metadata service of most clouds
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.31.196.0/24",  # AS112 (RFC 7535)
            "192.52.193.0/24",  # AMT (RFC 7450)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "192.175.48.0/24",  # AS112 (RFC 7534)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved (RFC 1112), with the limited broadcast
        ),
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that IANA gives out for the public Internet. Loopback, unique local, link-local, the old site-local
fec0::/10, multicast, the discard prefix, SRv6 identifiers and 64:ff9b:1::/48 lie outside."""

_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID and others
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4 (RFC 3056), which carries an IPv4 address
            "2620:4f:8000::/48",  # AS112 (RFC 7534)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)

_CARRIERS_OF_V4 = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped (RFC 4291)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052): how a network without IPv4 reaches public IPv4 services
)
"""Prefixes whose last 32 bits are the IPv4 address that is really reached; that one decides."""


class PrivateAddressError(OSError):
    """A connection to an address that is not public was asked for and not begun.

    Its text is the same for every `address`: the connector merges unequal errors of a name's several
    addresses into a nameless one, and this one has to stay recognisable.
    """

    def __init__(self, address: str) -> None:
        super().__init__("the address is private")
        self.address = address


def is_public(address: str | IPv4Address | IPv6Address) -> bool:
    """Whether this is an address of the public Internet; False for all else, also what is no address at all.

    Text is read as `ipaddress` reads it; other spellings (`127.1`, `0x7f000001`) are the resolver's to
    translate and are not public here.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    if any(ip in network for network in _CARRIERS_OF_V4):
        return is_public(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return ip in _GLOBAL_UNICAST_V6 and not any(ip in network for network in _SPECIAL_V6)


def public_socket(addr_info: AddrInfoType) -> socket.socket:
    """A socket to dial this resolved address with. Raises PrivateAddressError where it is not public.

    A socket factory for aiohttp's connector, which calls it with each address right before connecting.
    """
    family, kind, protocol, _, sockaddr = addr_info
    if not is_public(sockaddr[0]):
        raise PrivateAddressError(sockaddr[0])
    return socket.socket(family, kind, protocol)
