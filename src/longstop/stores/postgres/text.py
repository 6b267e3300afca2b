"""Text from outside as PostgreSQL takes it: it refuses NUL characters and lone surrogates, and senders send both.

Such a character is written as an escape that begins with SUB (U+001A), and SUB itself likewise; so every text has one
form of its own, comes back as it went in, and equal texts are equal in the database, too. What has none of the three,
which is nearly everything, is stored as it is. Every connection has this as its codec of `text` and `varchar`, so that
nobody has to remember it. Arrays of text go as `varchar[]`: asyncpg has a way of its own for `text[]`, past codecs.
"""

import re

import asyncpg

_ESCAPE = "\x1a"
_REFUSED = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")


def to_server(text: str) -> str:
    """A text as it is stored."""
    if text.isascii() and "\x00" not in text and _ESCAPE not in text:
        return text
    return _REFUSED.sub(lambda found: f"{_ESCAPE}{ord(found[0]):04x}", text)


def from_server(text: str) -> str:
    """A stored text as it was."""
    if _ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Let a connection speak so."""
    for name in ("text", "varchar"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=to_server, decoder=from_server, format="text"
        )
