"""How bodies are parsed, expressions evaluated and values made into keys, whatever a stranger sends."""

import contextlib
import hashlib
import json

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.errors import ConfigurationError, MalformedError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.sources.reading import (
    compile_condition,
    compile_selector,
    dedup_of,
    fingerprint,
    joint_key,
    parse_json,
    parse_leniently,
    parse_object,
    text_of,
)

HOSTILE = [
    b"",
    b" \n",
    b"hello",
    b"<xml/>",
    b"\xff\xfe",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'{"id": NaN}',
    b'{"id": -Infinity}',
    b'{"id": 1e400}',
    b'{"id": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"id":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"id": 1} {"id": 2}',
    b"\xef\xbb\xbf{}",
    b"\x00",
    '{"id":1}'.encode("utf-16"),
]


def dedup(expression: str, body: bytes, *headers: tuple[str, str]) -> bytes | None:
    return compile_selector(expression).dedup(Request(Headers(headers), body), parse_leniently(body))


def text(expression: str, document: object, *headers: tuple[str, str]) -> str | None:
    return compile_selector(expression).text(Request(Headers(headers), b""), document)


# -- bodies


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:20]))
def test_an_unreadable_body_is_malformed_and_nothing_of_it_is_told(body):
    with pytest.raises(MalformedError) as caught:
        parse_json(body)
    assert len(str(caught.value)) < 100
    assert parse_leniently(body) is None


def test_whole_numbers_stay_exact():
    assert parse_json(b"12345678901234567890123") == 12345678901234567890123


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_json_that_is_no_object_is_malformed_where_an_object_is_needed(body):
    with pytest.raises(MalformedError, match="expected a JSON object"):
        parse_object(body)


# -- values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Text", "Text"),
        ("naïve ☃", "naïve ☃"),
        (12345678901234567890123, "12345678901234567890123"),
        (1.5, "1.5"),
        (True, "true"),
        (0, "0"),
        (None, None),
        ("", None),
        ({}, None),
        (["a"], None),
    ],
)
def test_types_and_keys_as_text(value, expected):
    assert text_of(value) == expected


def test_a_type_or_key_too_long_or_with_a_nul_is_kept_as_its_fingerprint():
    assert text_of("é" * 512) == "é" * 512
    for value in ("é" * 513, "x" * 1025, "a\0b"):
        assert text_of(value) == "sha256:" + hashlib.sha256(value.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", b"abc"),
        ("☃", "☃".encode()),
        (7, b"7"),
        (12345678901234567890123, b"12345678901234567890123"),
        (2.5, b"2.5"),
        (0, b"0"),
        (None, None),
        ("", None),
        ("x" * 1024, b"x" * 1024),
        ("x" * 1025, b"sha256:" + hashlib.sha256(b"x" * 1025).hexdigest().encode()),
    ],
)
def test_dedup_keys_as_bytes(value, expected):
    assert dedup_of(value) == expected


@pytest.mark.parametrize("value", [{}, [], {"a": 1}, ["a"], True, False])
def test_what_can_name_no_event_is_ambiguous(value):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        dedup_of(value)


# -- expressions

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(document=json_values, path=st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_a_plain_path_means_what_jmespath_means(document, path):
    expression = ".".join(path)
    selector = compile_selector(expression)
    assert selector.names == tuple(path)
    assert selector.find(document) == jmespath.search(expression, document)


def test_more_than_a_path_is_jmespath():
    document = {"a": {"b-c": ["x", "y"]}, "n": 3}
    assert text('a."b-c"[1]', document) == "y"
    assert text("join('.', ['x', to_string(n)])", document) == "x.3"
    assert text("missing || 'other'", document) == "other"
    assert text("abs(a)", document) is None
    assert text("n[::0]", {"n": [1]}) is None


def test_headers():
    headers = (("X-Event", "call"), ("x-event", "chat"), ("X-Id", "7"), ("x-id", "7"), ("X-Empty", ""))
    assert text("header:x-event", None, *headers) == "call"
    assert text("header:X-None", None, *headers) is None
    assert dedup("header: X-ID ", b"not json", *headers) == b"7"
    assert dedup("header:X-None", b"", *headers) is None
    assert dedup("header:X-Empty", b"", *headers) is None
    with pytest.raises(MalformedError, match="header X-Event more than once"):
        dedup("header:X-Event", b"", *headers)


@pytest.mark.parametrize("expression", ["", "a..b", "a b", "[", "header:", "header:a b", "sum(", "'"])
def test_an_expression_that_is_none_is_refused_with_its_place(expression):
    with pytest.raises(ConfigurationError, match=r"^sources\.x\.dedup: found "):
        compile_selector(expression, "sources.x.dedup")


@given(expression=st.text(alphabet="ab.[]?*|&@`'\"{}():=!<> 01-,\\", max_size=12), document=json_values)
def test_any_expression_compiles_or_is_refused_and_then_never_raises(expression, document):
    try:
        selector, condition = compile_selector(expression), compile_condition(expression)
    except ConfigurationError:
        return
    body = json.dumps(document).encode()
    request = Request(Headers(), body)
    assert condition(document) in (True, False)
    assert isinstance(selector.text(request, document), str | None)
    with contextlib.suppress(MalformedError):
        assert isinstance(selector.dedup(request, document), bytes | None)


# -- repeated names


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("id", b'{"id":"a","id":"b"}'),
        ("id", b'{"id":"a","id":null}'),
        ("id", b'{"id":"a", "\\u0069d":"b"}'),
        ("id", b'{"i\\u0064":"a","id":"b"}'),
        ("id1", b'{"id1":"a", "id\\u0031":"b"}'),
        ("a_b", b'{"a\\u005fb":"a", "a_b":"b"}'),
        ("id", b'{"id":"a","x":{"id":1},"id":"b"}'),
        ("c.id", b'{"c":{"id":"a"},"c":{"id":"b"}}'),
        ("c.id", b'{"c":{"id":"a"},"c":{}}'),
        ("c.id", b'{"c":{"id":"a"},"c":7}'),
        ("c.id", b'{"c":{"id":"a","id":"b"}}'),
        ("c.id", b'{"c":7,"c":{"id":"a"}}'),
        ("id || other", b'{"id":"a","id":""}'),
        ("ids[0]", b'{"ids":["a"],"ids":["b"]}'),
        # As many quotes as in what is kept, because some are spelled as numbers.
        ("id", b'{"id":"a","id":"b","t":"\\u0022\\u0022\\u0022\\u0022"}'),
        ("join('-', [a, b])", b'{"a":"1","b":"2","a":"3"}'),
        ("values(c)[0]", b'{"c":{"x":"a","x":"b"}}'),
    ],
)
def test_a_repeated_name_on_the_way_to_the_key_is_ambiguous(expression, body):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        dedup(expression, body)


@pytest.mark.parametrize(
    ("expression", "body", "expected"),
    [
        ("id", b'{"id":"a","x":{"id":"b","id":"c"}}', b"a"),
        ("id", b'{"id":"a","text":"id","list":["id",{"id":1}]}', b"a"),
        ("id", b'{"id":"a","text":"\\"id\\" \\u0069d"}', b"a"),
        ("c.id", b'{"id":1,"id":2,"c":{"id":"a"}}', b"a"),
        ("ids[0]", b'{"ids":["a"],"x":1,"x":2}', b"a"),
    ],
)
def test_a_repeated_name_elsewhere_does_no_harm(expression, body, expected):
    assert dedup(expression, body) == expected


members = st.lists(st.tuples(st.sampled_from(["a", "b", "\\u0061"]), st.integers(0, 9)), max_size=5)


def one_object(pairs: list[tuple[str, object]]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"


@given(outer=members, inner=members, place=st.integers(0, 5))
def test_the_quick_check_and_the_exact_one_agree(outer, inner, place):
    outer.insert(place, ("b", one_object(inner)))
    body = one_object(outer).encode()

    def outcome(expression: str) -> object:
        try:
            return dedup(expression, body)
        except MalformedError:
            return "ambiguous"

    # The second spelling is more than a plain path, so that every body of it gets the exact check.
    assert outcome("b.a") == outcome('b."a"')
    assert outcome("a") == outcome('@."a"')


def test_hostile_bodies_are_checked_in_linear_work():
    many = b'{"id":"a",' + b",".join(b'"k":{"id":%d}' % i for i in range(20_000)) + b"}"
    assert dedup("id", many) == b"a"
    deep = b'{"id":"a","id":' + b'{"id":' * 900 + b"1" + b"}" * 900 + b"}"
    with pytest.raises(MalformedError):
        dedup("id", deep)


# -- conditions


@pytest.mark.parametrize(
    ("expression", "document", "expected"),
    [
        ("type == 'Text'", {"type": "Text"}, True),
        ("type == 'Text'", {"type": "Event"}, False),
        ("type == 'Text'", None, False),
        ("contains(tags, 'vip')", {"tags": ["vip"]}, True),
        ("contains(tags, 'vip')", {"tags": 7}, False),
        ("nobody(tags)", {"tags": 7}, False),
        ("n > `5`", {"n": 12345678901234567890123}, True),
        ("n > `5`", {"n": "x"}, False),
        ("list[::0]", {"list": [1]}, False),
        ("n", {"n": 0}, True),
        ("n", {"n": ""}, False),
        ("n", {"n": []}, False),
        ("n", {"n": {}}, False),
        ("n", {"n": False}, False),
        ("n", {"n": None}, False),
        ("!n", {}, True),
    ],
)
def test_conditions_follow_jmespath_truth_and_never_raise(expression, document, expected):
    assert compile_condition(expression)(document) is expected


def test_a_condition_that_is_no_jmespath_is_refused():
    with pytest.raises(ConfigurationError, match=r"^routes\[0\]\.when: found "):
        compile_condition("type ==", "routes[0].when")


def test_the_hash_of_the_body():
    selector = compile_selector("hash:body")
    one, other = (Request(Headers(), body) for body in (b"not json", b"not json "))
    assert selector.dedup(one, None) == fingerprint(b"not json") != selector.dedup(other, None)
    assert selector.text(one, None) == fingerprint(b"not json").decode()


def test_a_key_of_several_texts_is_equal_for_the_same_texts_alone():
    keys = [["a", "b"], ["b", "a"], ["a,b"], ['a","b'], ["a", "b", ""], ["a" * 2000], ["a" * 2001]]
    made = [joint_key(parts) for parts in keys]
    assert len(set(made)) == len(keys)
    assert all(len(key) <= 1024 for key in made)
