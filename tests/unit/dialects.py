"""What the tests of all dialects share: requests as the sender makes them, and the same with one bit changed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from longstop.model.errors import MalformedError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Reading, Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around
from longstop.ports import Source

NOW_MS = 1_780_000_000_000
OLD, NEW, OTHER = "old-secret-of-the-sender", "new-secret-of-the-sender", "a-secret-of-somebody-else"


def signed(settings: SourceSettings, body: bytes, now_ms: int = NOW_MS) -> Request:
    """The body with the headers that `longstop send` gives it."""
    return Request(Headers([*headers_around(settings, body), *sign(settings, body, now_ms)]), body)


def admits(source: Source, request: Request, now_ms: int = NOW_MS) -> bool:
    """Whether the request is taken for the sender's."""
    try:
        source.verify(request, now_ms)
    except VerificationError:
        return False
    return True


def read(source: Source, body: Any, **headers: str) -> Reading:
    """What a source reads in a body: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return source.read(Request(Headers(headers.items()), raw))


def flipped(request: Request, header: str) -> Iterator[Request]:
    """The request with one bit changed: every bit of one header's value, then one bit of each byte of the body."""
    value = (request.headers.get(header) or "").encode("latin-1")
    others = [(name, text) for name, text in request.headers if name != header]
    for changed in _flips(value, range(8)):
        yield replace(request, headers=Headers([*others, (header, changed.decode("latin-1"))]))
    for changed in _flips(request.body, range(1)):
        yield replace(request, body=changed)


def _flips(data: bytes, bits: range) -> Iterator[bytes]:
    for place in range(len(data)):
        for bit in bits:
            yield data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def refuses_each_flipped_bit(source: Source, request: Request, header: str) -> None:
    """Fails where a changed bit is admitted. The case of hex digits is free: that is one signature, not two."""
    assert admits(source, request)
    same = (request.headers.get(header) or "").lower()
    for other in flipped(request, header):
        recased = other.body == request.body and (other.headers.get(header) or "").lower() == same
        assert recased or not admits(source, other), other.headers.get(header)


def rotates(make: Any, header: str) -> None:
    """Fails unless both secrets of a rotation are in force, and each alone refuses the other's signature.

    make: takes secrets, gives the settings and the source.
    """
    body = b'{"a":1}'
    (old, old_source), (new, new_source) = make((OLD,)), make((NEW,))
    _, both = make((OLD, NEW))
    _, stranger = make((OTHER,))
    for settings in (old, new):
        assert admits(both, signed(settings, body))
        assert not admits(stranger, signed(settings, body))
    assert not admits(new_source, signed(old, body))
    assert not admits(old_source, signed(new, body))
    assert not admits(both, Request(Headers([(header, "")]), body))
    assert not admits(both, Request(Headers(), body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


def bodies(*names: str) -> st.SearchStrategy[bytes]:
    """Any bytes, and JSON whose members often have the names that a dialect reads."""
    named = st.dictionaries(st.sampled_from(names), json_values, max_size=6)
    return st.binary() | (named | json_values).map(lambda value: json.dumps(value).encode())


header_values = st.text(alphabet=st.characters(max_codepoint=255), max_size=80)


def raises_nothing_else(source: Source, request: Request) -> None:
    """Fails where anything but VerificationError or MalformedError comes out, or a reading of the wrong types."""
    admits(source, request)
    try:
        reading = source.read(request)
    except MalformedError:
        return
    assert isinstance(reading.type, str | None)
    assert isinstance(reading.key, str | None)
    assert isinstance(reading.dedup, bytes | None)


def malformed(source: Source, body: Any, match: str = "body|dedup key") -> None:
    """Fails unless the body cannot be read."""
    with pytest.raises(MalformedError, match=match):
        read(source, body)
