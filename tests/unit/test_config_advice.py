"""What works and is hardly meant: each is warned of, and what is meant is not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.config import SOURCE_KINDS, advice, parse
from longstop.config.values import Surroundings
from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.sources import build

ENVIRON = {"S": "sixteen-letters-and-more", "BLANK": "sixteen-letters ", "LINE": "sixteen-letters\n"}
SHOP = '[sources.shop]\nkind = "generic"\nverify = { scheme = "bearer" }\nsecrets = ["${S}"]\n'
CRM = '[destinations.crm]\nurl = "https://crm.example/"\n'
ROUTE = '[[routes]]\nfrom = "shop"\nto = ["crm"]\n'


def warned(text: str, base: Path = Path("/etc/longstop")) -> list[str]:
    return list(parse(text, where="longstop.toml", environ=ENVIRON, base=base).warnings)


def with_secret(written: str) -> str:
    return SHOP.replace("${S}", written) + CRM + ROUTE


def to(crm: str) -> str:
    return SHOP + CRM + crm + ROUTE


def test_what_is_meant_is_not_warned_of() -> None:
    assert warned(SHOP + CRM + ROUTE) == []


@pytest.mark.parametrize("written", ["$SHOP_SECRET", "%SHOP_SECRET%", "env:SHOP_SECRET", "$env:SHOP_SECRET"])
def test_a_variable_without_braces(written: str) -> None:
    found = warned(with_secret(written))
    assert (
        "sources.shop.secrets[0]: found the name SHOP_SECRET without braces, which is taken as it stands; "
        "expected ${SHOP_SECRET}; only with braces is it a variable"
    ) in found


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ('headers = { Authorization = "Bearer $TOKEN" }\n', "destinations.crm.headers.Authorization"),
        ('auth = { scheme = "bearer", token = "$TOKEN" }\n', "destinations.crm.auth.token"),
    ],
)
def test_a_variable_without_braces_elsewhere(lines: str, place: str) -> None:
    assert any(each.startswith(f"{place}: found the name TOKEN without braces") for each in warned(to(lines)))


def test_a_dollar_that_is_none() -> None:
    assert warned(SHOP + CRM.replace("example/", "example/?$filter=a") + ROUTE) == []


@pytest.mark.parametrize("written", ["${BLANK}", "${LINE}", "file:blank", "file:line"])
def test_a_secret_with_something_around_it(written: str, tmp_path: Path) -> None:
    (tmp_path / "blank").write_bytes(b" sixteen-letters\n")
    (tmp_path / "line").write_bytes(b"sixteen-letters\n\n")
    assert warned(with_secret(written), tmp_path) == [
        "sources.shop.secrets[0]: found a space or a line break at an end of the secret, which is taken as a part of "
        "it; expected the secret alone; remove it, unless the sender has it too"
    ]


def test_a_byte_order_mark_is_dropped_and_told(tmp_path: Path) -> None:
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfsixteen-letters\r\n")
    text = with_secret("file:marked")
    config = parse(text, where="f", environ=ENVIRON, base=tmp_path)
    assert config.sources[0].secrets == ("sixteen-letters",)
    assert config.warnings == (
        "sources.shop.secrets[0]: found a byte order mark at the start of its file, which is dropped; "
        "expected the secret alone; save the file as UTF-8 without one",
    )


def test_order_without_a_key() -> None:
    assert warned(to("ordered = true\n")) == [
        "destinations.crm.ordered: found it, and no source of its events has a key, so nothing is put in order; "
        'expected key at a source that leads here; as in key = "conversationId"'
    ]
    assert warned(SHOP + 'key = "id"\n' + CRM + "ordered = true\n" + ROUTE) == []
    assert warned(SHOP.replace("generic", "github") + CRM + "ordered = true\n" + ROUTE) == []


def test_statuses_that_are_retried_anyway() -> None:
    (said,) = warned(to("retry = { statuses = [429, 503, 500] }\n"))
    assert said.startswith("destinations.crm.retry.statuses: found 503, 500, which is tried again in any case")


def test_a_destination_that_nothing_leads_to() -> None:
    (said,) = warned(SHOP + CRM)
    assert said.startswith("destinations.crm: found no route that leads to it")


@pytest.mark.parametrize(
    ("routes", "useless"),
    [
        ([{}, {}], ["routes[1]"]),
        ([{}, {"when": "a"}], ["routes[1]"]),
        ([{"when": "a"}, {}], ["routes[0]"]),
        ([{"when": "a"}, {"when": "a"}], ["routes[1]"]),
        ([{"when": "a"}, {"when": "b"}], []),
        ([{}, {"to": ["lake"]}], []),
        ([{"to": ["lake"]}, {}, {"to": ["crm", "lake"]}], ["routes[2]"]),
        ([{"expire_after": "1m"}, {}], ["routes[0]"]),
        ([{"expire_after": "1m"}, {"expire_after": "2m"}], []),
        ([{"when": "a", "expire_after": "1m"}, {"expire_after": "1m"}], ["routes[0]"]),
    ],
)
def test_a_route_that_adds_nothing(routes: list[dict[str, Any]], useless: list[str]) -> None:
    text = SHOP + CRM + CRM.replace("crm", "lake")
    for route in routes:
        whole = {"from": "shop", "to": ["crm"], **route}
        text += "[[routes]]\n" + "".join(f"{key} = {value!r}\n" for key, value in whole.items())
    assert [each.partition(":")[0] for each in warned(text) if "adds nothing" in each] == useless


@pytest.mark.parametrize(
    ("url", "lines", "held"),
    [
        ("http://crm.example/${S}", "", "url"),
        ("http://crm.example/", 'headers = { X-Key = "${S}" }\n', "headers.X-Key"),
        ("http://crm.example/", 'auth = { scheme = "bearer", token = "${S}" }\n', "auth"),
        ("http://crm.example/", "", None),
        ("https://crm.example/${S}", "", None),
        ("http://127.0.0.1/${S}", "allow_private = true\n", None),
        ("http://10.1.2.3/${S}", "allow_private = true\n", None),
    ],
)
def test_a_secret_that_everybody_reads(url: str, lines: str, held: str | None) -> None:
    found = warned(SHOP + CRM.replace("https://crm.example/", url) + lines + ROUTE)
    assert [each.split(" reads what ")[1].split(" holds")[0] for each in found] == ([held] if held else [])


def test_what_is_hardly_meant_is_told_together_with_what_is_wrong() -> None:
    with pytest.raises(ConfigurationError) as raised:
        warned(SHOP.replace("${S}", "$S") + "rate = 7\n" + CRM)
    assert [each.partition(":")[0] for each in raised.value.problems] == ["sources.shop.rate"]
    assert [each.partition(":")[0] for each in raised.value.warnings] == ["sources.shop.secrets[0]", "destinations.crm"]


KEYS = st.sampled_from("sources destinations routes alerts store from to when url headers retry statuses a".split())
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(alphabet="a*${}% ", max_size=6))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_no_document_is_too_wrong_to_be_looked_at(document: dict[str, Any]) -> None:
    for problem in advice.warnings(document, Surroundings(ENVIRON, Path("/etc/longstop"))):
        assert str(problem)


def test_the_kinds_that_are_said_to_have_a_key_are_those_that_read_one() -> None:
    """A document that has every path that some kind looks at."""
    body = (
        b'{"conversationId":"k","contactId":"k","id":"k","detail":{"eventBody":{"conversationId":"k"}},"data":{"case":'
        b'{"id":"k"},"object":{"id":"k"}},"repository":{"full_name":"k"},"event":{"channel":"k"},"eventBody":{"id":"k",'
        b'"conversationId":"k"},"channel":{},"topicName":"v2.detail.events.conversation.k","ConversationSid":"k"}'
    )
    for kind, said in SOURCE_KINDS.items():
        if kind in ("cxone-byoc", "twilio", "genesys-open-messaging", "genesys-webhook", "genesys-data-action"):
            assert said.own_key
            continue
        source = build(SourceSettings("a", kind, secrets=(), verify=VerifySettings(scheme="none")))
        request = Request(Headers([("content-type", "application/json"), ("X-GitHub-Event", "push")]), body)
        assert (source.read(request).key is not None) == said.own_key, kind
