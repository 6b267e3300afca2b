"""How much there is to read in a body, found out before it is read, at a thousandth of the cost.

What a document costs is not told by its bytes: "[]," is three of them and becomes an object of a hundred. So nodes are
counted: what stands between commas and behind opening brackets.
"""

import re

from longstop.model.encoding import inflated_start
from longstop.model.errors import MalformedError
from longstop.model.exchange import Request

NODES_MAX = 1_000_000
"""A document with more is not read but kept in quarantine: it would take hundreds of megabytes and seconds. 25 MB of
JSON as senders write it have about so many."""
LIGHT_BYTES = 64 * 1024
LIGHT_NODES = 1_000
"""A document with more bytes or nodes, as unpacked, is read by a process of its own. One with so many takes a tenth of
a millisecond, or two where an expression looks at every node. Events of contact centres have 50 to 300."""
_SURELY_LIGHT_BYTES = LIGHT_NODES * 3 // 2
"""No JSON of so many bytes has more nodes: where they are densest, `[],`, two are counted in three bytes."""

_AMPERSAND = ord("&")
_IS_JSON = re.compile(rb"[\x09\x0a\x0d\x20]*[\[{]")


def is_light(request: Request) -> bool:
    """Whether reading the request takes a few milliseconds at most."""
    body: bytes | None = request.body
    if request.headers.wire_values("content-encoding"):
        body = inflated_start(request, LIGHT_BYTES)
    if body is None or len(body) > LIGHT_BYTES:
        return False
    if len(body) <= _SURELY_LIGHT_BYTES and _AMPERSAND not in body:
        # What most events are. To count four marks took a twentieth of the time in which one is accepted.
        return True
    return nodes_at_most(body) + body.count(b"&") <= LIGHT_NODES


def require_few_nodes(body: bytes) -> None:
    """Raise MalformedError for JSON with more than NODES_MAX nodes."""
    if len(body) <= NODES_MAX or not _IS_JSON.match(body) or nodes_at_most(body) <= NODES_MAX:
        return
    if body.count(b'"') > 4 * NODES_MAX or nodes_at_most(_without_texts(body)) > NODES_MAX:
        raise MalformedError(
            f"the body is JSON of more than {NODES_MAX} values, which would take too long to read; send it in parts"
        )


def nodes_at_most(body: bytes) -> int:
    """The number of nodes in JSON, or more: what looks like one inside of texts is counted, too."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _without_texts(body: bytes) -> bytes:
    """JSON with its texts taken out: commas in them are no nodes."""
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(bare.split(b'"')[::2])
