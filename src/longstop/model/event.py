"""What was accepted: the event, immutable, exactly as it was sent, and the receipt the sender gets for it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from longstop.model.value import value


class Headers:
    """HTTP headers as they were sent: order and repetitions kept, names compared without regard to case.

    Values are text decoded as Latin-1, which loses no byte: `value.encode("latin-1")` gives back
    what was on the wire.
    """

    __slots__ = ("_by_name", "_raw")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._raw = tuple((_wire(name), _wire(value)) for name, value in pairs)
        self._by_name: Mapping[bytes, Sequence[bytes]] | None = None

    @classmethod
    def from_wire(cls, raw: Iterable[tuple[bytes, bytes]]) -> Self:
        """The headers of a request as servers hand them over; nothing is decoded until somebody looks."""
        headers = cls.__new__(cls)
        headers._raw = tuple(raw)
        headers._by_name = None
        return headers

    @property
    def raw(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and values as bytes."""
        return self._raw

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of this header, or `default`."""
        values = self.wire_values(name)
        return values[0].decode("latin-1") if values else default

    def get_all(self, name: str) -> list[str]:
        """Every value of this header, in the order sent."""
        return [value.decode("latin-1") for value in self.wire_values(name)]

    def wire_values(self, name: str) -> Sequence[bytes]:
        """Every value of this header as bytes, in the order sent."""
        by_name = self._by_name
        if by_name is None:
            by_name = self._by_name = _by_name(self._raw)
        return by_name.get(_wire_name(name), _NO_VALUES)

    def blanked(self, names: frozenset[bytes], text: str) -> "Headers":
        """These headers with `text` in the place of every value of those that are named (bytes, in lower case)."""
        by_name = self._by_name
        if by_name is None:
            by_name = self._by_name = _by_name(self._raw)
        if names.isdisjoint(by_name):
            return self
        wire = text.encode()
        return Headers.from_wire((name, wire if name.lower() in names else value) for name, value in self._raw)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.wire_values(name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        # Names only: a value may be a credential, and a repr ends up in logs and tracebacks.
        return f"Headers({', '.join(name for name, _ in self)})"


_NO_VALUES: tuple[bytes, ...] = ()


def _by_name(raw: tuple[tuple[bytes, bytes], ...]) -> Mapping[bytes, Sequence[bytes]]:
    """The values of each name, in lower case. Mostly no name is repeated, and then there is a quicker way."""
    single = {name.lower(): (text,) for name, text in raw}
    if len(single) == len(raw):
        return single
    several: dict[bytes, list[bytes]] = {}
    for name, text in raw:
        several.setdefault(name.lower(), []).append(text)
    return several


@lru_cache(maxsize=256)
def _wire_name(name: str) -> bytes:
    """How a name that is looked for stands in `_by_name`: the same few are looked for in every request."""
    return name.lower().encode("latin-1", "replace")


def _wire(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        # No server hands on such a text; a hand-made request may.
        return text.encode("utf-8", "surrogatepass")


class Origin(StrEnum):
    """How an event came to be."""

    WEBHOOK = "webhook"
    """A sender posted it."""
    PUBLISH = "publish"
    """The application that embeds the gateway handed it in."""
    TRIAL = "trial"
    """A person tried a destination with it."""
    REPLAY = "replay"
    """A person sent a kept event again as a new one (edited, or read anew); `parent` is the first."""
    ALERT = "alert"
    """Longstop itself: something that people are told of."""


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted request. `body` is the bytes as sent; nothing in an event ever changes."""

    id: str
    """UUIDv7; the `webhook-id` of everything that is delivered of it."""
    source: str
    received_at_ms: int
    body: bytes = field(repr=False)
    headers: Headers = field(default_factory=Headers, repr=False)
    type: str | None = None
    key: str | None = None
    """Events of one key belong together (a conversation); ordered destinations keep their order."""
    dedup: bytes | None = None
    origin: Origin = Origin.WEBHOOK
    parent: str | None = None
    occurred_at_ms: int | None = None
    """When it happened, as the sender tells it (Unix time); None where the sender does not."""

    @property
    def content_type(self) -> str | None:
        """The Content-Type header as sent, or None."""
        return self.headers.get("content-type")

    def json(self) -> Any:
        """The body parsed as JSON. Raises ValueError where it is not JSON."""
        return json.loads(self.body)


class ReceiptStatus(StrEnum):
    """What became of a request that passed verification."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@value(frozen=True, slots=True)
class Receipt:
    """What ingest answers: the event is on disk under `event_id`, now or since its first arrival."""

    status: ReceiptStatus
    event_id: str
