"""What is hidden from people without the scope `bodies`: where a path leads, and what would give it away."""

import json
from urllib.parse import parse_qs

import jmespath
import pytest

from longstop.model.caller import Caller, CallerKind, Scope
from longstop.model.errors import HiddenError
from longstop.model.event import Headers
from longstop.model.listing import DeliveryFilter, EventFilter
from longstop.model.masking import is_path
from longstop.operating.masking import HIDDEN, Masking, Selected

SECRET = "+49 170 1234567"
FORM = Headers([("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")])
DOCUMENT = {
    "from": {"address": SECRET, "name": "Ada"},
    "list": [{"x": SECRET, "y": 1}, {"x": {"deep": SECRET}}],
    "nested": [[{"x": SECRET}], [{"x": SECRET}, {"y": 2}]],
    "packed": json.dumps({"x": SECRET}),
    "map": {"a": {"x": SECRET}, "b": {"x": SECRET}},
}


def shown(mask: str, document: object = DOCUMENT) -> object:
    masked = Masking([mask]).masked(json.dumps(document).encode(), Headers())
    assert masked is not None
    return json.loads(masked)


@pytest.mark.parametrize(
    ("mask", "part", "expected"),
    [
        ("from.address", "from", {"address": HIDDEN, "name": "Ada"}),
        ("from", "from", HIDDEN),
        ("list[*].x", "list", [{"x": HIDDEN, "y": 1}, {"x": HIDDEN}]),
        ("list[].x", "list", [{"x": HIDDEN, "y": 1}, {"x": HIDDEN}]),
        ("list[0].x", "list", [{"x": HIDDEN, "y": 1}, {"x": {"deep": SECRET}}]),
        ("list[-1]", "list", [{"x": SECRET, "y": 1}, HIDDEN]),
        ("list[?y == `1`].x", "list", [{"x": HIDDEN, "y": 1}, {"x": HIDDEN}]),
        ("list[:1].x", "list", [{"x": HIDDEN, "y": 1}, {"x": HIDDEN}]),
        ("nested[].x", "nested", [[{"x": HIDDEN}], [{"x": HIDDEN}, {"y": 2}]]),
        ("nested[1][0].x", "nested", [[{"x": SECRET}], [{"x": HIDDEN}, {"y": 2}]]),
        ("packed.x", "packed", HIDDEN),
        ("packed[*].x", "packed", HIDDEN),
        ("packed.*.x", "packed", HIDDEN),
        ("map.*.x", "map", {"a": {"x": HIDDEN}, "b": {"x": HIDDEN}}),
        ('map."a".x', "map", {"a": {"x": HIDDEN}, "b": {"x": SECRET}}),
    ],
)
def test_what_a_path_selects_is_hidden_and_nothing_else(mask: str, part: str, expected: object) -> None:
    assert shown(mask) == {**DOCUMENT, part: expected}


def test_everything_can_be_hidden() -> None:
    assert shown("@") == HIDDEN


@pytest.mark.parametrize("mask", ["text", "a.b", "list[9].x", "from[*]", "list.x"])
def test_what_is_not_there_is_not_hidden(mask: str) -> None:
    assert shown(mask) == DOCUMENT


def test_of_a_name_that_is_there_twice_nothing_is_left() -> None:
    masked = Masking(["text"]).masked(b'{"text": "one", "text": "two", "a": "Z\xc3\xbc\\ud800"}', Headers())
    assert masked is not None
    assert json.loads(masked) == {"text": HIDDEN, "a": "Z\u00fc\ud800"}
    assert b"one" not in masked
    assert b"two" not in masked


@pytest.mark.parametrize(
    "body",
    [SECRET.encode(), b"", b"\xff\x00", b"<text>+49</text>", b"[" * 100_000, b'{"text": "a"} x', b"1" * 5_000],
    ids=range(7),
)
def test_what_is_neither_json_nor_a_form_is_hidden_whole(body: bytes) -> None:
    assert Masking(["text"]).masked(body, Headers()) is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_is_json_in_whatever_encoding(encoding: str) -> None:
    masked = Masking(["text"]).masked(json.dumps({"text": SECRET}).encode(encoding), Headers())
    assert masked == b'{"text": "(not shown)"}'


def test_fields_of_a_form_are_hidden() -> None:
    masked = Masking(["From", "Body.x"]).masked(b"From=%2B49+170&To=5&From=again&Body=hello&Empty=", FORM)
    assert masked is not None
    assert parse_qs(masked.decode(), keep_blank_values=True) == {
        "From": [HIDDEN, HIDDEN], "To": ["5"], "Body": [HIDDEN], "Empty": [""],
    }  # fmt: skip


def test_a_document_within_a_form_is_hidden_whole() -> None:
    masked = Masking(["user.name"]).masked(b"token=x&payload=%7B%22user%22%3A+%7B%22name%22%3A+%22Ada%22%7D%7D", FORM)
    assert masked is not None
    assert parse_qs(masked.decode()) == {"token": ["x"], "payload": [HIDDEN]}


@pytest.mark.parametrize("body", [b'{"text": "+49"}', b"+49 170", b"a=1&+49", b"\xff=1", b"%2B49+170=1"])
def test_what_says_that_it_is_a_form_and_is_none_is_hidden_whole(body: bytes) -> None:
    assert Masking(["text"]).masked(body, FORM) is None


def test_a_hash_of_the_body_is_hidden_where_something_of_it_is() -> None:
    given = Headers([("Content-MD5", SECRET), ("Digest", SECRET), ("X-Other", "1")])
    assert [text for _, text in Masking(["text"]).headers(given)] == [HIDDEN, HIDDEN, "1"]
    assert Masking(["text"]).dedup(b"sha256:abc") == HIDDEN.encode()
    assert Masking(["text"]).dedup(b"4711") == b"4711"
    assert Masking(["header:X-Other"]).dedup(b"sha256:abc") == b"sha256:abc"
    assert next(iter(Masking(["header:X-Other"]).headers(given))) == ("Content-MD5", SECRET)


def test_headers_are_hidden_by_name() -> None:
    headers = Masking(["header:X-Phone"]).headers(Headers([("x-phone", SECRET), ("X-Other", "1")]))
    assert list(headers) == [("x-phone", HIDDEN), ("X-Other", "1")]


@pytest.mark.parametrize(
    ("mask", "selected", "hidden"),
    [
        ("from.address", Selected(key="from.address"), {"key"}),
        ("from", Selected(key="from.address"), {"key"}),
        ("from.address", Selected(key="conversation", type="kind"), set()),
        ("text", Selected(dedup="join('-', [id, text])"), {"dedup"}),
        ("@", Selected("type", "key", "hash:body"), {"type", "key", "dedup"}),
        ("id", Selected(key="header:id"), set()),
        ("header:X-Phone", Selected(key="header:x-phone", type="phone"), {"key"}),
        ("from.address", Selected(key="from.id", type="from.address_kind"), set()),
        ("from.address", Selected(key="to_string(from)", type="to_string(@)"), {"key", "type"}),
        ("from.address", Selected(key="from.*|[0]", type="*.address|[0]", dedup="*.id|[0]"), {"key", "type"}),
        ("from.address", Selected(key="{a: from}.a.address", type="[from.address, id]|[0]"), {"key", "type"}),
        ("from.address", Selected(key="id || from.address", type="values(from)[0]"), {"key", "type"}),
        ("people[].phone", Selected(key="people[0].phone", type="people[0].name"), {"key"}),
        (
            "people[].phone",
            Selected(key="max_by(people, &age).phone", type="people[?age > `9`].phone|[0]"),
            {"key", "type"},
        ),
        ("people[].phone", Selected(key="map(&phone, people)|[0]", type="length(other)"), {"key"}),
        ("*.phone", Selected(key="from.phone", type="from.name"), {"key"}),
        ("text", Selected(dedup="hash:body"), {"dedup"}),
        ("header:X-Phone", Selected(dedup="hash:body"), set()),
    ],
)
def test_what_is_taken_from_a_masked_field_is_hidden_too(mask: str, selected: Selected, hidden: set[str]) -> None:
    assert Masking([mask], [("shop", selected)]).columns("shop") == hidden


@pytest.mark.parametrize(
    "wanted",
    [
        EventFilter(contains=b"+49"),
        DeliveryFilter(contains=b""),
        DeliveryFilter(error="no customer 4711"),
        EventFilter(source="shop", key=SECRET),
        DeliveryFilter(key=SECRET),
    ],
)
def test_nobody_asks_his_way_to_what_is_hidden(wanted: EventFilter | DeliveryFilter) -> None:
    masking = Masking(["from"], [("shop", Selected(key="from.address")), ("other", Selected(key="id"))])
    with pytest.raises(HiddenError, match="scope bodies"):
        masking.refuse_search(wanted)


@pytest.mark.parametrize(
    "wanted", [EventFilter(source="other", key="5"), DeliveryFilter(error="no customer #"), EventFilter(type="t")]
)
def test_what_hides_nothing_may_be_asked(wanted: EventFilter | DeliveryFilter) -> None:
    masking = Masking(["from"], [("shop", Selected(key="from.address")), ("other", Selected(key="id"))])
    masking.refuse_search(wanted)
    assert masking.error("no customer 4711 in 0.2 s") == "no customer # in # s"
    # Its status is told to everybody, and beside "HTTP #" nobody would know what it was.
    assert masking.error("HTTP 502", 502) == "HTTP 502"
    assert [masking.error("HTTP 502", other) for other in (None, 503)] == ["HTTP #", "HTTP #"]


def test_it_is_hidden_from_whoever_lacks_the_scope_and_only_where_there_is_a_mask() -> None:
    viewer, reader = (Caller("x", CallerKind.USER, frozenset(each)) for each in ({Scope.VIEW}, set(Scope)))
    assert [Masking(["text"]).hides_from(each) for each in (viewer, reader)] == [True, False]
    assert not Masking().hides_from(viewer)


@pytest.mark.parametrize(
    "expression", ["a || b", "length(a)", "[a, b]", "{a: b}", "a | b", "`1`", "a[?x].y && b", "!a"]
)
def test_what_computes_is_no_path(expression: str) -> None:
    assert not is_path(jmespath.compile(expression).parsed)


@pytest.mark.parametrize("expression", ["a.b", "@", "a[*].b[0]", "a[?x == '1'].b", "a[1:2]", "*.a", "[].a", '"a b"'])
def test_what_says_where_something_stands_is_a_path(expression: str) -> None:
    assert is_path(jmespath.compile(expression).parsed)
