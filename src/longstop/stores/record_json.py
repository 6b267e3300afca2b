"""A record of the model as JSON and back, for the stores that keep one whole: Redis, DynamoDB."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from longstop.model.event import Headers

T = TypeVar("T")


def packed(record: Any) -> bytes:
    """A dataclass of the model as JSON. Text may hold anything: what no UTF-8 can is escaped."""
    return json.dumps(msgspec.to_builtins(record, enc_hook=_encode), separators=(",", ":")).encode()


def unpacked(raw: bytes, type_: type[T]) -> T:
    """The record again. Raises ValueError where it is none."""
    return msgspec.convert(json.loads(raw), type_, dec_hook=_decode)


def _encode(value: Any) -> Any:
    if isinstance(value, Headers):
        return [[each.decode("latin-1") for each in pair] for pair in value.raw]
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value)} has no form in JSON")


def _decode(type_: type, value: Any) -> Any:
    if type_ is Headers:
        return Headers.from_wire(tuple((name.encode("latin-1"), text.encode("latin-1")) for name, text in value))
    raise NotImplementedError(f"{type_} has no form in JSON")
