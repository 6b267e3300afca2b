"""What a request's head may be: how large, and in which of the many ways to say where its body ends."""

from longstop.edges.senders_http.answers import plain_problem
from longstop.model.exchange import Answer

HEADERS_MAX = 100
"""A request has at most so many headers, and as many trailers."""
HEADER_BYTES_MAX = 32 * 1024
"""Names and values together."""
URL_BYTES_MAX = 8 * 1024
"""What follows the method."""

CLOSE = ("connection", "close")


class Framing:
    """What the head that is being read says of where the request is for and of where its body ends."""

    __slots__ = ("coding", "expects", "hosts", "length")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """For the next head."""
        self.hosts = 0
        self.length = 0
        """The body's, as announced; 0 where it is not."""
        self.coding: bytes | None = None
        """How the body is transferred."""
        self.expects = False
        """The sender waits to be asked for the body."""

    def add(self, name: bytes, content: bytes) -> None:
        """One of the headers that matter, as the parser lets it through: a length has digits only."""
        if name == b"host":
            self.hosts += 1
        elif name == b"content-length":
            # What is longer begins with zeros: the parser refuses what does not fit into 64 bits.
            self.length = int(content.strip()[-20:])
        elif name == b"transfer-encoding":
            coding = content.strip().lower()
            self.coding = coding if self.coding is None else self.coding + b"," + coding
        else:
            self.expects = content.strip().lower() == b"100-continue"


def what_is_wrong(framing: Framing, method: str, version: str, url: bytes) -> Answer | None:
    """The answer to a head that cannot be served, whatever it asks for; after it the connection is closed.

    The parser has refused already what RFC 9112 has refused: two lengths, a length and a coding, white space before a
    colon, folded lines.
    """
    if version not in ("1.1", "1.0"):
        return _UNKNOWN_VERSION
    if framing.hosts != 1 and (framing.hosts or version == "1.1"):
        return _NOT_ONE_HOST
    if framing.coding not in (None, b"chunked"):
        return _UNKNOWN_CODING
    if len(url) > URL_BYTES_MAX:
        return _LONG_URL
    return _NO_TUNNEL if method == "CONNECT" else None


_UNKNOWN_VERSION = plain_problem(505, "HTTP version not supported", (CLOSE,))
_NOT_ONE_HOST = plain_problem(400, "Bad request", (CLOSE,))
_UNKNOWN_CODING = plain_problem(501, "Transfer coding not implemented", (CLOSE,))
_LONG_URL = plain_problem(414, "URI too long", (CLOSE,))
_NO_TUNNEL = plain_problem(405, "Method not allowed", (("allow", "POST"), CLOSE))
