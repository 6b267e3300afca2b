"""Where the server is: of several that the URL names, the one that may be written to; on a cluster, where it points.

All keys are in one slot, so all of the store is on one node of a cluster. Any node says which (MOVED).
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection
"""

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit


class Places:
    """The addresses, as URLs of redis-py, and the one in use."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._listed = tuple(urls)
        self.url = urls[0]

    def __len__(self) -> int:
        return len(self._listed)

    def go_on(self) -> bool:
        """Use the next one; whether that is another than before."""
        before = self.url
        place = self._listed.index(before) + 1 if before in self._listed else 0
        self.url = self._listed[place % len(self._listed)]
        return self.url != before

    def go_to(self, address: str) -> None:
        """Use HOST:PORT, as a cluster names it, with the credentials of before; without a HOST it is that of before."""
        host, _, port = address.rpartition(":")
        parts = urlsplit(self.url)
        user, at, before = parts.netloc.rpartition("@")
        host = (f"[{host}]" if ":" in host else host) or before.rpartition(":")[0] or before
        scheme, path = (parts.scheme, parts.path) if parts.scheme != "unix" else ("redis", "")
        self.url = urlunsplit((scheme, f"{user}{at}{host}:{port}", path, "", ""))
