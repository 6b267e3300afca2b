"""The configuration's refusals: the exact words of each, all of them at once, and no secret in any."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

from pathlib import Path

import pytest
from config_messages import (
    CRM,
    DURATION,
    HELLO,
    IN_ORDER,
    SECRETS,
    STORES,
    UNITS,
    destination,
    generic,
    problems,
    read,
    route,
    source,
    to_url,
    url,
    verify,
)

from longstop.config import describe, load
from longstop.model.errors import ConfigurationError

REFUSED = [
    # the file
    (
        "",
        "sources: found no source; expected at least one table [sources.NAME]; "
        "`longstop init` writes a configuration to start from",
    ),
    (
        "port = = 1",
        "longstop.toml:1:8: found something that is not TOML (invalid value); expected key = value, as in port = 8080 "
        'or host = "127.0.0.1"; mend this line: text stands in quotes, lists in [ ], and no key is given twice',
    ),
    (
        'a = "b\n',
        "longstop.toml:1:7: found something that is not TOML (illegal character '\\n'); expected key = value, as in "
        'port = 8080 or host = "127.0.0.1"; mend this line: text stands in quotes, lists in [ ], and no key is given twice',
    ),
    (
        "a = 1\nb = [",
        "longstop.toml:2:6: found something that is not TOML (invalid value); expected key = value, as in port = 8080 "
        'or host = "127.0.0.1"; mend this line: text stands in quotes, lists in [ ], and no key is given twice',
    ),
    (
        HELLO + "[serverr]",
        'serverr: found an unknown key; expected one of server, store, worker, retention, alerts, operators, telemetry, console, sources, destinations, routes; did you mean "server"?',
    ),
    (
        HELLO + "[x]",
        "x: found an unknown key; expected one of server, store, worker, retention, alerts, operators, telemetry, console, sources, destinations, routes; remove it",
    ),
    # server, worker
    ("server = 1\n" + HELLO, "server: found a number; expected a table: [server]"),
    (HELLO + "[server]\nport = 0", "server.port: found 0; expected a port from 1 to 65535"),
    (HELLO + "[server]\nport = 65536", "server.port: found 65536; expected a port from 1 to 65535"),
    (HELLO + '[server]\nport = "80"', 'server.port: found "80"; expected a port from 1 to 65535'),
    (HELLO + "[server]\nport = true", "server.port: found true; expected a port from 1 to 65535"),
    (
        HELLO + "[server]\nport = 0x" + "F" * 5000,
        "server.port: found a very large number; expected a port from 1 to 65535",
    ),
    (
        HELLO + "[server]\nport = 8081",
        "server.port: found 8081 for both port and admin_port; expected two different ports; "
        "senders must not reach the operators' side",
    ),
    (
        HELLO + '[server]\nhost = "http://x"',
        'server.host: found "http://x"; expected the name or address to listen on; without scheme, port or brackets',
    ),
    (
        HELLO + '[server]\nadmin_host = "10.0.0.5"',
        'server.admin_host: found "10.0.0.5", which others can reach, and nobody is asked who he is; expected 127.0.0.1, '
        '::1 or localhost; or set operators.auth = "users", and then `longstop users add NAME --role admin`',
    ),
    (
        HELLO + '[worker]\nlease = "0s"',
        'worker.lease: found "0s"; expected more than zero',
    ),
    (
        HELLO + "[server]\nstop_timeout = 20",
        f'server.stop_timeout: found 20; expected {DURATION}; write "20s" if seconds are meant',
    ),
    (
        HELLO + "[server]\nstop_timeout = 1979-05-27",
        f"server.stop_timeout: found a date or time; expected {DURATION}; {UNITS}",
    ),
    (HELLO + '[worker]\nlease = "3651d"', 'worker.lease: found "3651d"; expected at most 3650d'),
    # store
    (
        HELLO + '[store]\nurl = "aws://me:hunter2@db/0"',
        "store.url: found a user's name or a key in store.url; expected aws://REGION?table=NAME[&queue=NAME]"
        "[&bucket=NAME], with other options behind them; credentials are found where AWS' own tools do",
    ),
    (
        HELLO + '[store]\nurl = "longstop.db"',
        f"store.url: found text that is not a URL; expected {STORES}",
    ),
    (
        HELLO + '[store]\nurl = "sqlit:///x"',
        f'store.url: found a URL that begins with "sqlit:"; expected {STORES}; did you mean "sqlite"?',
    ),
    (HELLO + '[store]\nurl = "sqlite://x.db"', f"store.url: found sqlite: without three slashes; expected {STORES}"),
    (
        HELLO + '[store]\nurl = "sqlite:///x.db?mode=ro"',
        f"store.url: found no file's path after sqlite:///; expected {STORES}; without ? or #",
    ),
    (
        HELLO + '[store]\nurl = "sqlite:///:memory:"',
        'store.url: found "sqlite:///:memory:"; expected memory:// for a store that is gone when the program ends',
    ),
    # destinations
    (
        destination(""),
        'destinations.d: found neither url nor handler; expected one of them; as in url = "https://crm.example/events" '
        'or handler = "myapp.handlers:update_crm"',
    ),
    (
        to_url('handler = "a:b"'),
        "destinations.d: found url and handler; expected only one of them; remove the others",
    ),
    *(
        (
            destination(f'handler = "{text}"'),
            f'destinations.d.handler: found "{text}"; expected package.module:function; as in "myapp.handlers:update_crm"',
        )
        for text in ("a.b", "a.b:", ":c", "a..b:c", "a b:c", "a:b:c", "a:b.c")
    ),
    *(
        (
            url(text),
            "destinations.d.url: found no http:// or https:// at its start; expected http:// or https://, a host and a path",
        )
        for text in ("ftp://x", "x.example/y", "")
    ),
    *(
        (url(text), "destinations.d.url: found no host; expected http:// or https://, a host and a path")
        for text in ("http://", "https:///x", "http://:80/x")
    ),
    *(
        (
            url(text),
            "destinations.d.url: found a host or port that cannot be read; "
            "expected a host name or address and a port from 1 to 65535",
        )
        for text in ("http://x:0/", "http://x:65536/", "http://x:y/", "http://[::1/")
    ),
    (
        url("https://x.example/a b"),
        "destinations.d.url: found a space or a control character in it; expected http:// or https://, a host and a path",
    ),
    (
        url("https://me:hunter2@x.example/"),
        "destinations.d.url: found a user name or a password in it; expected a URL without them; "
        'send them in a header: headers = { Authorization = "${VAR}" }',
    ),
    (
        url("https://x.example/#a"),
        "destinations.d.url: found a fragment (#…) in it; expected a URL without one; a fragment is never sent to a server",
    ),
    (
        url("https://${NOWHERE}/"),
        "destinations.d.url: the environment variable NOWHERE is not set; expected it to hold a part of the URL; "
        "set it before the start",
    ),
    (
        to_url('on_dead = "skip"'),
        "destinations.d.on_dead: found on_dead at a destination that is not ordered, where nothing waits for a dead "
        "event; expected it only beside ordered = true; remove it",
    ),
    (
        destination('handler = "a:b"\nisolation = "thread"'),
        'destinations.d.isolation: found "thread"; expected "none" or "process"',
    ),
    (
        to_url('isolation = "process"'),
        "destinations.d.isolation: found isolation without a handler; expected it only beside "
        'handler = "package.module:function"; remove it',
    ),
    (to_url('allow_private = "yes"'), 'destinations.d.allow_private: found "yes"; expected true or false'),
    (to_url("concurrency = 1001"), "destinations.d.concurrency: found 1001; expected a whole number from 1 to 1000"),
    (to_url("concurrency = 2.5"), "destinations.d.concurrency: found 2.5; expected a whole number from 1 to 1000"),
    (to_url('timeout = "0ms"'), 'destinations.d.timeout: found "0ms"; expected more than zero'),
    # headers
    (
        to_url('headers = { "a b" = "x" }'),
        'destinations.d.headers."a b": found "a b"; expected the name of an HTTP header; '
        'letters, digits and -, as in "X-Signature"',
    ),
    (
        to_url('headers = { Idempotency-Key = "x" }'),
        "destinations.d.headers.Idempotency-Key: found a header that Longstop sets itself; expected other headers; remove it",
    ),
    (
        to_url('headers = { X-A = "x", x-a = "y" }'),
        "destinations.d.headers.x-a: found the same header twice; expected each header once; case makes no difference",
    ),
    (
        to_url('headers = { X = "a\\r\\nHost: b" }'),
        "destinations.d.headers.X: found a line break, a control character or a character beyond ASCII; "
        "expected printable ASCII",
    ),
    (to_url("headers = { X = 1 }"), "destinations.d.headers.X: found a number; expected text"),
    (to_url('headers = "x"'), "destinations.d.headers: found text; expected a table of names and texts"),
    # retry
    (
        to_url("retry = { attempts = 0 }"),
        "destinations.d.retry.attempts: found 0; expected a whole number from 1 to 1000",
    ),
    (to_url("retry = { factor = 0.5 }"), "destinations.d.retry.factor: found 0.5; expected a number from 1 to 100"),
    (to_url("retry = { factor = nan }"), "destinations.d.retry.factor: found nan; expected a number from 1 to 100"),
    (to_url('retry = { first = "0s" }'), 'destinations.d.retry.first: found "0s"; expected more than zero'),
    (
        to_url('retry = { first = "10s", cap = "9s" }'),
        "destinations.d.retry.cap: found a cap of 9 s below the first wait of 10 s; expected cap to be at least first; "
        "raise cap or lower first",
    ),
    (
        to_url('retry = { first = "20m" }'),
        "destinations.d.retry.first: found a cap of 900 s below the first wait of 1200 s; "
        "expected cap to be at least first; raise cap or lower first",
    ),
    (
        to_url('retry = { jitter = "ful" }'),
        'destinations.d.retry.jitter: found "ful"; expected "full" or "none"; did you mean "full"?',
    ),
    (
        to_url("retry = { statuses = [399] }"),
        "destinations.d.retry.statuses[0]: found 399; expected an HTTP status from 400 to 599",
    ),
    # routes
    (
        route('from = "hallo"\nto = ["crm"]'),
        'routes[0].from: found "hallo"; expected the name of a source: "hello"; did you mean "hello"?',
    ),
    (
        route('from = "hello"\nto = ["crn"]'),
        'routes[0].to[0]: found "crn"; expected the name of a destination: "crm"; did you mean "crm"?',
    ),
    (
        HELLO + '[[routes]]\nfrom = "hello"\nto = ["crm"]',
        'routes[0].to[0]: found "crm"; expected the name of a destination: none; '
        "add a table [destinations.NAME], or mend the name",
    ),
    (
        route('from = "hello"\nto = ["crm", "crm"]'),
        'routes[0].to[1]: found "crm" a second time; expected each destination once; remove it',
    ),
    (
        route('from = "hello"\nto = []'),
        'routes[0].to: found an empty list; expected a list of names of destinations, as ["crm"]',
    ),
    (
        route('from = "hello"\nto = "crm"'),
        'routes[0].to: found text; expected a list of names of destinations, as ["crm"]',
    ),
    (
        route('to = ["crm"]'),
        'routes[0].from: found nothing; expected the name of a source, a list of names, or "*" for all of them; '
        "add from = …",
    ),
    (
        route('from = []\nto = ["crm"]'),
        'routes[0].from: found an empty list; expected the name of a source, a list of names, or "*" for all of them',
    ),
    (
        route('from = ["hello", "hello"]\nto = ["crm"]'),
        'routes[0].from[1]: found "hello" a second time; expected each source once; remove it',
    ),
    (
        route('from = ["hello", "hallo"]\nto = ["crm"]'),
        'routes[0].from[1]: found "hallo"; expected the name of a source: "hello"; did you mean "hello"?',
    ),
    (
        route('from = ["*", "hello"]\nto = ["crm"]'),
        'routes[0].from: found "*" beside other names; expected "*" alone, which is every source, or names; '
        "remove the others",
    ),
    (
        route('from = "hello"\nto = ["crm"]\norder_with = "customer"'),
        "routes[0].order_with: found order_with, and no destination of the route is ordered; "
        "expected it only beside one with ordered = true; remove it, or set ordered = true there",
    ),
    (
        route('from = "hello"\nto = ["crm"]\norder_with = "A:b"').replace("[destinations.crm]", IN_ORDER),
        'routes[0].order_with: found "A:b"; '
        "expected a name: 1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit",
    ),
    (
        route('from = "hello"\nto = ["crm"]\norder_with = "a"\n[[routes]]\nfrom = "*"\nto = ["crm"]').replace(
            "[destinations.crm]", IN_ORDER
        ),
        'routes[1].order_with: found nothing; expected what routes[0] says of "hello" and "crm": "a"; '
        "a key has one order at a destination",
    ),
    (
        route('from = "hello"\nto = ["crm"]\nwhen = "type = 1"'),
        'routes[0].when: found "type = 1", which is not JMESPath from character 6 ("=") on; '
        "expected a JMESPath expression; text stands in single quotes, as in type == 'Text'",
    ),
    ("routes = 1\n" + HELLO, "routes: found a number; expected tables: [[routes]]"),
    (
        HELLO + '[destinations.crm]\nhandler = "a.b:c"\nenv = ["A"]\n',
        "destinations.crm.env: found env without isolation, and such a handler has the whole environment; "
        'expected it only beside isolation = "process"; remove it',
    ),
    (
        HELLO + '[destinations.crm]\nhandler = "a.b:c"\nisolation = "process"\nenv = ["${A}"]\n',
        'destinations.crm.env[0]: found "${A}"; expected the name of an environment variable; '
        "letters, digits and _, the first no digit",
    ),
    ("routes = [1]\n" + HELLO, "routes[0]: found a number; expected a table: [[routes]]"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_each_fault_in_its_own_words(text: str, message: str) -> None:
    assert problems(text, SECRETS) == [message]


def test_a_handler_in_code_and_a_url_contradict_each_other() -> None:
    assert problems(HELLO + CRM, handlers=("crm",)) == [
        "destinations.crm: found url and a handler registered in code; expected only one of them; remove the others"
    ]


def test_a_handler_in_code_cannot_be_isolated() -> None:
    text = '[destinations.crm]\nisolation = "process"\n'
    assert problems(HELLO + text, handlers=("crm",)) == [
        "destinations.crm.isolation: found isolation, and the handler is registered in code, where no other process "
        'can find it; expected it only beside handler = "package.module:function"; name the function here instead of '
        "registering it"
    ]


def test_a_secret_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"CANARY\xff")
    text = verify('scheme = "bearer"', '["file:key"]')
    assert problems(text, base=tmp_path) == [
        'sources.a.secrets[0]: the file "key" is not UTF-8 text; expected a file that holds only the secret; save it as UTF-8'
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe4'")
    for name, said in (
        (
            "gone.toml",
            "there is no such file; expected a configuration; `longstop init` writes one, --config FILE names another",
        ),
        ("latin.toml", "found bytes that are not UTF-8 at byte 6; expected UTF-8 text; save it as UTF-8"),
        (
            ".",
            "the file cannot be read (Is a directory); expected a configuration; mend its permissions, or name another",
        ),
        (
            "a\0b",
            "the file cannot be read (not a path); expected a configuration; mend its permissions, or name another",
        ),
    ):
        with pytest.raises(ConfigurationError) as raised:
            load(tmp_path / name, environ={})
        assert raised.value.problems == (f"{tmp_path / name}: {said}",)


def test_all_faults_come_at_once_and_in_the_files_order() -> None:
    text = """
    [server]
    port = "x"
    admin_host = "0.0.0.0"
    [sources.a]
    kind = "generic"
    verify = { scheme = "hmac-sha256", encodng = "hex" }
    secrets = ["${GONE}"]
    dedup = "a b"
    [sources.b]
    kind = "generc"
    [destinations.d]
    on_dead = "skip"
    retry = { first = "2s", cap = "1s", attempts = 0 }
    [[routes]]
    from = "c"
    to = ["d", "e"]
    [[routes]]
    when = "("
    to = []
    """
    assert [problem.partition(": ")[0] for problem in problems(text)] == [
        "server.port",
        "server.admin_host",
        "sources.a.verify.encodng",
        "sources.a.verify.header",
        "sources.a.secrets[0]",
        "sources.a.dedup",
        "sources.b.kind",
        "destinations.d",
        "destinations.d.on_dead",
        "destinations.d.retry.cap",
        "destinations.d.retry.attempts",
        "routes[0].from",
        "routes[0].to[1]",
        "routes[1].when",
        "routes[1].to",
        "routes[1].from",
    ]


# -- secrets stay secret ------------------------------------------------------------------------

CANARY = "CANARY-b7f1"
LEAKY = [
    generic(f'secrets = ["{CANARY}"]', "basic"),
    generic(f'secrets = "{CANARY}"', "bearer"),
    generic(f'secrets = {{ a = "{CANARY}" }}', "bearer"),
    generic(f'secret = "{CANARY}"'),
    generic(f'secrets = ["{CANARY}${{"]', "bearer"),
    generic('secrets = ["${CANARY}"]', "basic"),
    generic('secrets = ["file:${CANARY}"]', "bearer"),
    source(f'kind = "generic"\nverify = "{CANARY}"'),
    f'sources = "{CANARY}"',
    url("${CANARY}"),
    url("https://${CANARY}:x/"),
    url("https://x.example/ ${CANARY}"),
    url(f"https://me:{CANARY}@x.example/"),
    to_url('headers = { A = "${CANARY}\\n" }'),
    to_url(f'headers = "{CANARY}"'),
    to_url(f'headers = {{ A = ["{CANARY}"] }}'),
    f'{HELLO}[store]\nurl = "aws://me:{CANARY}@db/0"',
    f'{HELLO}[store]\nurl = "aws://eu-central-1?table=t&endpoint=http://me:{CANARY}@db"',
    f'{HELLO}[store]\nurl = "redis://me:{CANARY}@db/zero"',
    f'{HELLO}[store]\nurl = "postgresql://me:{CANARY}@db/x?sslmod=require"',
    f'{HELLO}[store]\nurl = "postgresql://me:{CANARY}@db:port/x"',
    f'{HELLO}[store]\nurl = "postgresql://me:{CANARY}@db"',
    f'{HELLO}[store]\nurl = "sqlite:///${{CANARY}}?"',
]


@pytest.mark.parametrize("text", LEAKY)
def test_no_error_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(text, {"CANARY": CANARY})
    error: BaseException | None = raised.value
    assert CANARY not in f"{error} {error!r}"
    # Tracebacks with chained errors are printed too.
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_no_repr_warning_or_description_shows_a_secret() -> None:
    text = f"""
    [sources.a]
    kind = "generic"
    verify = {{ scheme = "bearer" }}
    secrets = ["{CANARY}", "${{CANARY}}"]
    [sources.g]
    kind = "genesys-open-messaging"
    secrets = ["{CANARY}"]
    [destinations.d]
    url = "http://127.0.0.1/${{CANARY}}?token={CANARY}"
    headers = {{ Authorization = "Bearer ${{CANARY}}" }}
    """
    config = read(text, {"CANARY": CANARY})
    assert config.sources[0].secrets == (CANARY, CANARY)
    assert len(config.warnings) == 5
    assert CANARY not in f"{config!r} {config} {describe(config)} {config.warnings}"
