"""The configuration: what it makes of a file, the starter it is shipped with, and that nothing at all confuses it."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longstop.config import SOURCE_KINDS, Config, RouteSettings, describe, load, parse
from longstop.config.shape import Table
from longstop.config.values import duration, size
from longstop.edges.cli import starter
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.retry import RetryPolicy, backoff_ms
from longstop.model.settings import DestinationSettings, SourceSettings, VerifySettings
from longstop.senders.python import resolve_handler

BASE = Path("/etc/longstop")
NOTHING: Mapping[str, str] = MappingProxyType({})
HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
CRM = '[destinations.crm]\nurl = "https://crm.example/events"\n'

EXAMPLE = """
[server]
host = "127.0.0.1"
port = 8080
admin_host = "127.0.0.1"
admin_port = 8081

[store]
url = "sqlite:///longstop.db"

[sources.genesys]
kind = "genesys-open-messaging"
secrets = ["${GENESYS_WEBHOOK_SECRET}"]

[sources.orders]
kind = "generic"
verify = { scheme = "hmac-sha256", header = "X-Signature", encoding = "hex", prefix = "sha256=" }
secrets = ["${ORDERS_SECRET}"]
dedup = "id"
type = "eventType"
key = "conversationId"

[destinations.crm]
url = "http://127.0.0.1:9000/events"
allow_private = true
timeout = "10s"
retry = { first = "1s", factor = 2.0, cap = "15m", jitter = "full", max_age = "3d" }

[[routes]]
from = "genesys"
when = "type == 'Text'"
to = ["crm"]
"""
SECRETS = {"GENESYS_WEBHOOK_SECRET": "a-secret-of-26-characters!", "ORDERS_SECRET": "orders"}


def read(
    text: str, environ: Mapping[str, str] = NOTHING, *, handlers: tuple[str, ...] = (), base: Path = BASE
) -> Config:
    return parse(text, where="longstop.toml", environ=environ, base=base, handlers=handlers)


# -- what it reads ------------------------------------------------------------------------------


def test_the_documented_example_is_read_whole() -> None:
    config = read(EXAMPLE, SECRETS)
    assert config.server.url == "http://127.0.0.1:8080"
    assert (config.server.admin_host, config.server.admin_port) == ("127.0.0.1", 8081)
    assert (config.store.kind, config.store.path) == ("sqlite", "/etc/longstop/longstop.db")
    assert config.sources == (
        SourceSettings("genesys", "genesys-open-messaging", ("a-secret-of-26-characters!",)),
        SourceSettings(
            "orders",
            "generic",
            ("orders",),
            VerifySettings("hmac-sha256", "X-Signature", "hex", "sha256="),
            "id",
            "eventType",
            "conversationId",
        ),
    )
    assert config.destinations == (DestinationSettings("crm", "http://127.0.0.1:9000/events", allow_private=True),)
    assert config.routes == (RouteSettings("genesys", "type == 'Text'", ("crm",)),)
    assert config.warnings == ()


def test_what_is_left_out_has_the_models_defaults() -> None:
    config = read(HELLO + CRM)
    assert config.server.stop_timeout_ms == 20_000
    assert config.worker.lease_ms == 15_000
    assert config.sources == (SourceSettings("hello", "generic", verify=VerifySettings("none")),)
    assert config.destinations == (DestinationSettings("crm", "https://crm.example/events"),)


def test_every_key_reaches_its_setting() -> None:
    config = read(
        """
        [server]
        host = "::1"
        stop_timeout = "0s"
        [store]
        url = "memory://"
        [worker]
        lease = "1m"
        [sources.a]
        kind = "generic"
        verify = { scheme = "basic", username = "me" }
        secrets = ["${ONE}", "x${TWO}y"]
        dedup_window = "1h"
        max_body = "512KiB"
        type = "header:X-Type"
        [destinations.b]
        url = "https://${HOST}/events"
        concurrency = 3
        timeout = "250ms"
        ordered = false
        headers = { Authorization = "Bearer ${ONE}" }
        [destinations.b.retry]
        attempts = 2
        first = "2s"
        factor = 3
        cap = "4s"
        jitter = "none"
        max_age = "1d"
        retry_after_cap = "5s"
        crashes = 6
        statuses = [404, 429]
        """,
        {"ONE": "1", "TWO": "2", "HOST": "h.example"},
    )
    (source,), (destination,) = config.sources, config.destinations
    assert config.server.url == "http://[::1]:8080"
    assert (config.server.stop_timeout_ms, config.worker.lease_ms) == (0, 60_000)
    assert (config.store.kind, config.store.path) == ("memory", None)
    assert source.secrets == ("1", "x2y")
    assert source.verify == VerifySettings("basic", username="me")
    assert (source.dedup_window_ms, source.max_body_bytes, source.type) == (3_600_000, 524_288, "header:X-Type")
    assert destination == DestinationSettings(
        "b",
        url="https://h.example/events",
        timeout_ms=250,
        concurrency=3,
        headers=(("Authorization", "Bearer 1"),),
        retry=RetryPolicy(2, 2_000, 3.0, 4_000, "none", 86_400_000, 5_000, 6),
        retried_statuses=frozenset({404, 429}),
    )


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("250ms", 250),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("3d", 259_200_000),
        ("2w", 1_209_600_000),
        ("3650d", 315_360_000_000),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert duration(text) == ms


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [
        (1, 1),
        ("7B", 7),
        ("2KB", 2_000),
        ("2KiB", 2_048),
        ("10MB", 10_000_000),
        ("3MiB", 3_145_728),
        ("512MiB", 2**29),
    ],
)
def test_sizes(value: object, bytes_: int) -> None:
    assert size(value) == bytes_


@pytest.mark.parametrize(
    "value", ["", "10", "10 s", "1.5h", "1h30m", "-1s", "10S", "10sec", "٣s", 10, 1.5, True, [], {}]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="found"):
        duration(value)


@pytest.mark.parametrize("value", ["", "10", "10Mb", "1.5MB", "-1B", 0, -1, "0B", "513MiB", 2**64, 1.5, True, []])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="found"):
        size(value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a.db", "/etc/longstop/a.db"),
        ("sqlite:///../a.db", "/etc/a.db"),
        ("sqlite:////var/a.db", "/var/a.db"),
        ("sqlite:///${DATA}/a.db", "/srv/a.db"),
    ],
)
def test_store_paths_are_absolute(url: str, path: str) -> None:
    assert read(f'{HELLO}[store]\nurl = "{url}"', {"DATA": "/srv"}).store.path == path


@pytest.mark.parametrize(
    ("content", "secret"), [(b"s3", "s3"), (b"s3\n", "s3"), (b"s3\r\n", "s3"), (b"s3\n\n", "s3\n")]
)
def test_a_secret_file_loses_one_newline(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "key").write_bytes(content)
    text = '[sources.a]\nkind = "generic"\nverify = { scheme = "bearer" }\nsecrets = ["file:key", "file:${DIR}/key"]'
    assert read(text, {"DIR": str(tmp_path)}, base=tmp_path).sources[0].secrets == (secret, secret)


def test_handlers_in_code_need_no_table() -> None:
    routes = '[[routes]]\nfrom = "hello"\nto = ["b", "a"]\nexpire_after = "90s"\n[destinations.b]\ntimeout = "1s"'
    config = read(HELLO + routes, handlers=("a", "b", "idle"))
    assert config.destinations == (
        DestinationSettings("b", timeout_ms=1_000),
        DestinationSettings("a"),
        DestinationSettings("idle"),
    )
    assert config.routes == (RouteSettings("hello", None, ("b", "a"), 90_000),)


@pytest.mark.parametrize("given", ['"*"', '["*"]', '["hello", "there"]'])
def test_a_route_may_be_from_several_sources_or_from_all(given: str) -> None:
    there = HELLO.replace("hello", "there")
    crm = '[destinations.crm]\nurl = "https://crm.example/"\nordered = true\n'
    config = read(f'{HELLO}{there}{crm}[[routes]]\nfrom = {given}\nto = ["crm"]\norder_with = "customer"\n')
    assert config.routes == tuple(
        RouteSettings(name, None, ("crm",), order_with="customer") for name in ("hello", "there")
    )
    assert "route       → crm  in one order with customer" in describe(config)


def test_load_reads_a_file_and_starts_relative_paths_there(tmp_path: Path) -> None:
    file = tmp_path / "longstop.toml"
    file.write_bytes(b"\xef\xbb\xbf" + HELLO.encode())
    assert load(str(file), environ={}).store.path == str(tmp_path / "longstop.db")


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read(HELLO).server = None  # type: ignore[misc, assignment]


# -- warnings, description ----------------------------------------------------------------------


def test_what_is_unwise_is_warned_of() -> None:
    config = read(
        """
        [sources.g]
        kind = "genesys-open-messaging"
        secrets = ["fifteen-letters", "${SIXTEEN}"]
        [destinations.d]
        url = "http://localhost:9000/"
        [[routes]]
        from = "g"
        when = 'type == "Text"'
        to = ["d"]
        """,
        {"SIXTEEN": "sixteen-letters!"},
    )
    assert config.warnings == (
        "sources.g.secrets[0]: found a secret written into the file; expected ${VAR} or file:PATH; "
        "whoever reads the file can sign",
        "sources.g.secrets[0]: found a secret of 15 characters; expected more than 15, which Genesys Cloud asks for; "
        "make a longer one on both sides",
        "destinations.d.url: found a loopback or private address, which is refused at every attempt; "
        "expected a public one; or set allow_private = true",
        "routes[0].when: found a comparison with something in double quotes, which is a field's name in JMESPath; "
        "expected text in single quotes; as in type == 'Text'",
    )


def test_the_description_names_everything() -> None:
    assert describe(read(EXAMPLE, SECRETS, handlers=("code",))).split("\n") == [
        "store         sqlite  /etc/longstop/longstop.db",
        "source        genesys (genesys-open-messaging)  POST http://127.0.0.1:8080/webhooks/genesys",
        "  route       → crm  when type == 'Text'  (type: the body's, else the event's)",
        "source        orders (generic)  POST http://127.0.0.1:8080/webhooks/orders",
        "  no route    its events are kept as unrouted",
        "destination   crm  http://127.0.0.1:9000/events  tried for 3 d, 10 s an attempt",
        "destination   code  a handler registered in code  tried for 3 d, 10 s an attempt",
    ]


# -- the starter --------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempts", "said"), [(1, "1 time"), (8, "8 times")])
def test_a_number_of_attempts_is_told(attempts: int, said: str) -> None:
    text = EXAMPLE.replace("retry = {", f"retry = {{ attempts = {attempts},")
    assert f"tried {said} at most for 3 d" in describe(read(text, SECRETS, handlers=("code",)))


def test_the_starter_starts_with_an_empty_environment() -> None:
    config = read(starter.STARTER)
    assert config.warnings == ()
    assert [route.to for route in config.routes] == [("terminal",)]


def test_the_starters_comments_are_a_working_configuration() -> None:
    commented = starter.STARTER.split("# Genesys Cloud Open Messaging")[1].split("\n", 1)[1]
    lines = [line.removeprefix("# ") for line in commented.split("\n")]
    text = "\n".join(line for line in lines if re.match(r"\[|\w+ = ", line))
    config = read(text, SECRETS)
    assert config.routes == (RouteSettings("genesys", "type == 'Text'", ("crm",)),)
    assert config.warnings == ()


def test_the_starters_handler_exists_and_writes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    config = read(starter.STARTER)
    assert config.destinations[0].handler == "longstop:print_event"
    assert resolve_handler(config.destinations[0].handler) is starter.print_event
    body = starter.EXAMPLE_BODY.encode()
    assert set(json.loads(body)) >= {config.sources[0].dedup, config.sources[0].type, config.sources[0].key}
    starter.print_event(Event(id="e-1", source="hello", received_at_ms=0, body=body, type="a\n\x1b[2J", key=None))
    assert capsys.readouterr().out == (f'hello: event e-1, type "a\\n\\u001b[2J", key null, {len(body)} bytes\n')


# -- anything at all ----------------------------------------------------------------------------


def accepts_or_refuses(text: str) -> None:
    try:
        config = read(text, handlers=("h",))
    except ConfigurationError as error:
        said = error.problems
    else:
        said = (describe(config),)
    assert said
    assert all(said)


@given(st.text())
@settings(max_examples=100)
def test_any_text_is_read_or_refused(text: str) -> None:
    accepts_or_refuses(text)


def test_nesting_and_numbers_beyond_what_can_be_read_are_refused() -> None:
    for value in ("[" * 20_000, "9" * 10_000):
        with pytest.raises(ConfigurationError) as refused:
            read(f"a = {value}")
        assert all(refused.value.problems)


def as_toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{quoted(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case str():
            return quoted(value)
    return str(value).lower()


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(each):08x}" for each in text) + '"'


WORDS = st.sampled_from(
    ["generic", "none", "basic", "hmac-sha1", "10s", "1MB", "id", "header:X", "https://x.example", "a:b", "${X}", "h"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = WORDS | st.booleans() | st.integers() | st.floats() | st.just(1 << 200)
KEYS = st.sampled_from(
    [
        *(key for table in Table.__subclasses__() for key in table.by_key()),
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
TABLES = st.dictionaries(st.sampled_from(["a", "b", "A b"]), st.dictionaries(KEYS, ANYTHING, max_size=6), max_size=2)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "server": ANYTHING,
        "store": ANYTHING,
        "worker": ANYTHING,
        "alerts": st.dictionaries(KEYS, ANYTHING, max_size=4) | ANYTHING,
        "sources": TABLES | ANYTHING,
        "destinations": TABLES | ANYTHING,
        "routes": st.lists(st.dictionaries(KEYS, ANYTHING, max_size=4), max_size=3) | ANYTHING,
    },
)


@given(DOCUMENTS)
@settings(max_examples=300)
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in document.items())
    tomllib.loads(text)
    accepts_or_refuses(text)


@given(st.text("abc.[]()*&|!=<>@`'\"{}:,0123456789-? \\", max_size=20))
@settings(max_examples=200)
def test_any_expression_is_read_or_refused(expression: str) -> None:
    accepts_or_refuses(f"{HELLO}dedup = {quoted(expression)}")


# -- the neighbours it leans on -----------------------------------------------------------------


def test_the_kinds_are_those_of_this_version() -> None:
    assert {name: (kind.own_scheme, kind.needs_secrets) for name, kind in SOURCE_KINDS.items()} == {
        "genesys-open-messaging": (True, True),
        "genesys-data-action": (True, False),
        "genesys-eventbridge": (False, False),
        "genesys-webhook": (True, False),
        "cxone-byoc": (True, True),
        "cxone-dfo": (True, True),
        "cxone-expert": (True, True),
        "cxone-studio": (False, False),
        "github": (True, True),
        "shopify": (True, True),
        "slack": (True, True),
        "standard-webhooks": (True, True),
        "stripe": (True, True),
        "twilio": (True, True),
        "generic": (False, False),
    }


def test_the_steepest_backoff_it_lets_through_stays_at_the_cap() -> None:
    policy = RetryPolicy(attempts=1_000, factor=100.0, jitter="none")
    assert backoff_ms(policy, 1_000, None) == policy.cap_ms  # type: ignore[arg-type]
