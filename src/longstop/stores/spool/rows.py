"""An append as a row of the spool, and back."""

import msgspec

from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.event import Event, Headers, Origin


class _Item(msgspec.Struct, array_like=True):
    """Fields are added at the end, each with a default, and never taken out: a newer program finds older rows."""

    id: str
    source: str
    received_at_ms: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    type: str | None
    key: str | None
    dedup: bytes | None
    origin: Origin
    parent: str | None
    occurred_at_ms: int | None
    deliveries: tuple[Delivery, ...]
    dedup_until_ms: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Item).decode


def packed(append: Append) -> bytes:
    """All of it in bytes."""
    e = append.event
    return _encode(
        _Item(
            *(e.id, e.source, e.received_at_ms, e.body, e.headers.raw, e.type, e.key, e.dedup, e.origin, e.parent),
            *(e.occurred_at_ms, append.deliveries, append.dedup_until_ms),
        )
    )


def unpacked(item: bytes) -> Append:
    """What was packed. Raises ValueError where it is nothing of the kind."""
    row = _decode(item)
    headers = Headers.from_wire(row.headers)
    about = (row.type, row.key, row.dedup, row.origin, row.parent, row.occurred_at_ms)
    event = Event(row.id, row.source, row.received_at_ms, row.body, headers, *about)
    return Append(event, row.deliveries, row.dedup_until_ms)


def size(append: Append) -> int:
    """Bytes of its body and headers."""
    return len(append.event.body) + sum(len(name) + len(text) for name, text in append.event.headers.raw)
