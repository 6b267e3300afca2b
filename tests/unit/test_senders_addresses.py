"""Which addresses the SSRF guard lets through: every special range of the IANA registries, from edge to edge."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.senders.addresses import PrivateAddressError, is_public, public_socket

SPECIAL = [
    # IANA IPv4 Special-Purpose Address Registry
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    # IANA IPv6 Special-Purpose Address Registry, and the prefixes that were given back or deprecated
    "::1/128",
    "::/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    # not in those registries
    "224.0.0.0/4",
    "ff00::/8",
    "4000::/3",
    "168.63.129.16/32",
]


@pytest.mark.parametrize("network", SPECIAL)
def test_a_special_range_is_not_public_from_its_first_address_to_its_last(network: str) -> None:
    block = ip_network(network)
    middle = block[block.num_addresses // 2]
    assert [is_public(ip) for ip in (block[0], middle, block[-1])] == [False] * 3


@pytest.mark.parametrize(
    "address",
    [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.195.255",
        "192.31.197.0",
        "192.52.192.255",
        "192.52.194.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.47.255",
        "192.175.49.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2003::",
        "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
        "2620:4f:8001::",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
    ],
)
def test_the_neighbours_of_special_ranges_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("carrier", ["::ffff:", "64:ff9b::"])
@pytest.mark.parametrize(
    ("carried", "public"),
    [("8.8.8.8", True), ("127.0.0.1", False), ("10.1.2.3", False), ("169.254.169.254", False), ("0.0.0.0", False)],
)
def test_an_address_that_carries_an_ipv4_address_is_judged_by_that_one(
    carrier: str, carried: str, public: bool
) -> None:
    assert is_public(carrier + carried) is public


@pytest.mark.parametrize(
    "spelling",
    [
        "::ffff:7f00:1",
        "0:0:0:0:0:FFFF:7F00:0001",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "2002:0808:0808::1",
        "2001:0:808:808::1",
        "::8.8.8.8",
        "::7f00:1",
        "fe80::1%eth0",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.000.000.001",
        "１２７.0.0.1",
        "8.8.8.8 ",
        "8.8.8.8/32",
        "[::1]",
        "localhost",
        "",
    ],
)
def test_odd_spellings_are_never_public(spelling: str) -> None:
    assert not is_public(spelling)


@given(st.ip_addresses(v=4))
def test_what_the_standard_library_calls_special_is_not_public_ipv4(ip: IPv4Address) -> None:
    assert ip.is_global or not is_public(ip)
    assert not (ip.is_multicast and is_public(ip))


@given(st.ip_addresses(v=6))
def test_what_the_standard_library_calls_special_is_not_public_ipv6(ip: IPv6Address) -> None:
    carried = ip.ipv4_mapped
    assert (carried or ip).is_global or not is_public(ip)
    assert not (ip.is_multicast and is_public(ip))


def test_no_socket_is_made_for_a_private_address() -> None:
    with pytest.raises(PrivateAddressError) as refused:
        public_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80)))
    assert refused.value.address == "10.0.0.1"


def test_a_socket_is_made_for_a_public_address() -> None:
    with public_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("8.8.8.8", 80))) as made:
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)


def test_refusals_of_several_addresses_read_the_same() -> None:
    # The connector passes on the error itself only where all of a name's addresses fail with equal texts.
    assert str(PrivateAddressError("::1")) == str(PrivateAddressError("127.0.0.1"))
