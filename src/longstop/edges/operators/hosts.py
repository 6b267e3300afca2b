"""Whom the operators' port answers: who asks for it by a name of its own.

A page on the web can have a browser ask anything of this machine, and read the answer, once the page's own name leads
here (DNS rebinding). Such a request has the page's name in its Host. An address in its place cannot have been made to
lead here: whoever asks for one by it means the machine that has it. That is how probes and Prometheus ask for a pod.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from longstop.edges.senders_http.answers import plain_problem
from longstop.model.exchange import Answer

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{0,5})?", re.IGNORECASE)
_SAFE = ("GET", "HEAD")


class OwnHosts:
    """The names that the port answers to: loopback, whatever its spelling and port, and those that are given."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {"localhost", *(name.lower() for name in names)}

    def refusal(self, method: str, headers: Sequence[tuple[bytes, bytes]], by_address: bool) -> Answer | None:
        """The answer to a request that is not meant for this port; None where it is.

        by_address: any address will do in the place of a name.
        """
        hosts = [text.decode("latin-1") for name, text in headers if name.lower() == b"host"]
        if len(hosts) != 1:
            return _NO_HOST
        if not self._is_own(hosts[0], by_address):
            return _MISDIRECTED
        origins = [text.decode("latin-1") for name, text in headers if name.lower() == b"origin"]
        if method not in _SAFE and any(not self._is_from(origin, hosts[0]) for origin in origins):
            return _OTHER_SITE
        return None

    def _is_own(self, authority: str, by_address: bool) -> bool:
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        name = found[1].lower().strip("[]")
        address = _address(name)
        if address is None:
            return name in self._names
        # To "no address" (0.0.0.0) some systems connect as to themselves, and a page may ask for it.
        return address.is_loopback or name in self._names or (by_address and not address.is_unspecified)

    def _is_from(self, origin: str, host: str) -> bool:
        scheme, _, authority = origin.partition("://")
        return scheme in ("http", "https") and authority.lower() == host.lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


_NO_HOST = plain_problem(400, "Bad request")
_MISDIRECTED = plain_problem(421, "Misdirected request")
_OTHER_SITE = plain_problem(403, "Not allowed from another site")
