"""What a source takes at all, besides the proof: from which addresses, and of which media types."""

import ipaddress
from collections.abc import Iterable

from longstop.model.addresses import is_within
from longstop.model.errors import AddressError, MalformedError
from longstop.model.event import Headers

_NOT_ALLOWED = (
    "The request comes from an address that this source does not allow. "
    "Check the source's `allow`, and `server.trusted_proxies` where a proxy stands before the gateway."
)


class AllowList:
    """The networks that requests may come from; of none, any."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def check(self, client: str | None) -> None:
        """Return if the sender's address is in one of the networks; raise AddressError, always the same, otherwise.

        An address that is not known is in none.
        """
        if self._networks and not is_within(client, self._networks):
            raise AddressError(_NOT_ALLOWED)


def media_type(headers: Headers) -> str:
    """The media type of the Content-Type header in lower case, without parameters; empty where there is none."""
    return (headers.get("content-type") or "").partition(";")[0].strip().lower()


class MediaTypes:
    """The media types that are taken; of none, any.

    A request of another type is malformed, not refused: it is the sender's own, and in quarantine nothing is lost.
    """

    def __init__(self, types: Iterable[str]) -> None:
        self._types = tuple(each.strip().lower() for each in types)

    def check(self, headers: Headers) -> None:
        """Return if the request's type is one of them, whatever its parameters; raise MalformedError otherwise."""
        if not self._types:
            return
        found = media_type(headers)
        if found not in self._types:
            raise MalformedError(
                f"the request has {'no Content-Type' if not found else 'another Content-Type'}; expected "
                f"{' or '.join(self._types)}. Correct the sender or the source's `content_types`"
            )
