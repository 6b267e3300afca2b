"""Who sent it, behind proxies: X-Forwarded-For, believed only as far as it was written by proxies one trusts."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from longstop.model.event import Headers

_HOP = re.compile(
    r"\[(?P<v6>[0-9a-fA-F:]*:[0-9a-fA-F:.]*)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+)(?::[0-9]{1,5})?|(?P<bare>[0-9a-fA-F:.]+)"
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The networks (CIDR) whose word is taken for where a request came from."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(each) for each in networks)

    def client(self, peer: str | None, headers: Headers) -> str | None:
        """The sender's address: the last hop that no trusted proxy stands for; None where it cannot be told.

        Every proxy adds at the right whom it was called by. So hops are believed from the right as long as the one
        who wrote them is trusted; what stands further left anybody may have written.
        """
        if not self._networks or not self._trusts(peer):
            return peer
        hops = [hop for value in headers.get_all("x-forwarded-for") for hop in value.split(",")]
        return self._last_untrusted(hops, peer)

    def _last_untrusted(self, hops: Sequence[str], peer: str | None) -> str | None:
        client = peer
        for hop in reversed(hops):
            address = _address(hop)
            client = str(address) if address is not None else None
            if not self._trusts(client):
                break
        return client

    def _trusts(self, host: str | None) -> bool:
        # A peer on the link itself has the name of its interface behind a percent sign.
        address = _address(host.partition("%")[0]) if host is not None else None
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """An address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80. None for all else."""
    found = _HOP.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    try:
        address = ipaddress.ip_address(found["v6"] or found["v4"] or found["bare"])
    except ValueError:
        return None
    # An IPv4 peer of a socket for both families.
    return getattr(address, "ipv4_mapped", None) or address
