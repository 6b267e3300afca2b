"""Events: headers come back as they were sent, and neither headers nor bodies get into a repr."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.event import Event, Headers
from longstop.stores.sql.rows import event_row
from longstop.stores.sqlite.rows import to_event
from longstop.testing.builders import make_event

LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
PAIRS = st.lists(st.tuples(LATIN, LATIN), max_size=10)


@given(PAIRS)
def test_headers_keep_order_repetitions_and_every_byte(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    assert list(headers) == pairs
    assert len(headers) == len(pairs)
    assert [value.encode("latin-1") for _, value in headers] == [value.encode("latin-1") for _, value in pairs]


@given(PAIRS, st.binary(max_size=100), st.none() | st.binary(max_size=20))
def test_an_event_comes_back_from_its_row_as_it_was(
    pairs: list[tuple[str, str]], body: bytes, dedup: bytes | None
) -> None:
    event = make_event(1, headers=Headers(pairs), body=body, dedup=dedup)
    assert to_event(event_row(event)) == event


def test_names_are_compared_without_regard_to_case() -> None:
    headers = Headers([("X-One", "a"), ("x-one", "b"), ("Two", "")])
    assert headers.get("X-ONE") == "a"
    assert headers.get_all("x-oNe") == ["a", "b"]
    assert "two" in headers
    assert "three" not in headers
    assert 3 not in headers
    assert headers.get("three", "none") == "none"
    assert headers == Headers(list(headers))
    assert hash(headers) == hash(Headers(list(headers)))
    assert headers != Headers([("X-One", "a")])


def test_a_repr_shows_neither_values_nor_the_body() -> None:
    event = Event("e", "shop", 0, b"SECRET-BODY", Headers([("Authorization", "SECRET-TOKEN")]))
    assert "SECRET" not in repr(event)
    assert repr(event.headers) == "Headers(Authorization)"


def test_the_body_as_json_and_its_type() -> None:
    event = make_event(7)
    assert event.json() == {"number": 7}
    assert event.content_type == "application/json"
    assert make_event(7, headers=Headers()).content_type is None
    with pytest.raises(ValueError, match="Expecting"):
        make_event(7, body=b"{").json()
