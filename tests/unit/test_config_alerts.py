"""`[alerts]` in the configuration: what it becomes, every refusal, and no secret in any."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from longstop.__main__ import _Program
from longstop.config import Config, describe, parse
from longstop.edges.cli import app
from longstop.model.errors import ConfigurationError
from longstop.model.settings import AlertSettings

HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
CANARY = "CANARY-b7f1"
ENVIRON: Mapping[str, str] = MappingProxyType({"TOKEN": "t0ken", "CANARY": CANARY, "BROKEN": f"{CANARY}\n"})
HTTP = "http:// or https://, a host and a path"


def read(lines: str) -> Config:
    return parse(f"{HELLO}{lines}", where="longstop.toml", environ=ENVIRON, base=Path("/etc/longstop"))


def hook(lines: str = "", url: str = "https://a.example/hook") -> str:
    return f'[alerts]\nurl = "{url}"\n{lines}'


def test_every_key_reaches_its_setting() -> None:
    config = read(
        hook(
            'timeout = "2s"\nallow_private = true\nheaders = { Authorization = "Bearer ${TOKEN}" }', "http://a/${TOKEN}"
        )
    )
    assert config.alerts == AlertSettings("http://a/t0ken", 2_000, True, (("Authorization", "Bearer t0ken"),))
    assert config.warnings == (
        "alerts.url: found http://, over which everybody on the way reads what url and headers.Authorization holds; "
        "expected https://; unless the network is your own",
    )


def test_what_is_left_out_has_the_models_defaults() -> None:
    assert read(hook()).alerts == AlertSettings("https://a.example/hook")
    assert read("").alerts is None


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('alerts = "https://a.example"', "alerts: found text; expected a table: [alerts]"),
        ("[alerts]", "alerts.url: found nothing; expected text: an http:// or https:// URL; add url = …"),
        ('[alerts]\nulr = "https://a.example"', 'alerts.ulr: found an unknown key; expected one of url, timeout, allow_private, headers; did you mean "url"?'),
        ('[alert]\nurl = "https://a.example"', 'alert: found an unknown key; expected one of server, store, worker, retention, alerts, operators, sources, destinations, routes; did you mean "alerts"?'),
        (hook(url="a.example"), f"alerts.url: found no http:// or https:// at its start; expected {HTTP}"),
        (hook(url="https://${GONE}"), "alerts.url: the environment variable GONE is not set; expected it to hold a part of the URL; set it before the start"),
        (hook('timeout = "0s"'), 'alerts.timeout: found "0s"; expected more than zero'),
        (hook("timeout = 5"), 'alerts.timeout: found 5; expected a duration such as "10s", "5m" or "3d"; write "5s" if seconds are meant'),
        (hook('allow_private = "yes"'), 'alerts.allow_private: found "yes"; expected true or false'),
        (hook("headers = { X = 5 }"), "alerts.headers.X: found a number; expected text"),
        (hook('headers = { "a b" = "c" }'), 'alerts.headers."a b": found "a b"; expected the name of an HTTP header; letters, digits and -, as in "X-Signature"'),
        (hook('headers = { Content-Type = "text/plain" }'), "alerts.headers.Content-Type: found a header that Longstop sets itself; expected other headers; remove it"),
        (hook('headers = { X-A = "1", x-a = "2" }'), "alerts.headers.x-a: found the same header twice; expected each header once; case makes no difference"),
    ],
)  # fmt: skip
def test_refusals(lines: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(f"{lines}\n{HELLO}", where="longstop.toml", environ=ENVIRON, base=Path("/etc/longstop"))
    assert problem in raised.value.problems


@pytest.mark.parametrize(
    "lines",
    [
        hook(url="https://${CANARY}:x/"),
        hook(url=f"https://me:{CANARY}@a.example/"),
        hook('headers = { A = "${BROKEN}" }'),
        hook(f'headers = "{CANARY}"'),
        hook(f'headers = {{ A = ["{CANARY}"] }}'),
    ],
)
def test_no_error_shows_a_secret(lines: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(lines)
    assert CANARY not in f"{raised.value} {raised.value!r}"
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)


def test_no_repr_and_no_description_shows_a_secret() -> None:
    config = read(hook('headers = { A = "${CANARY}" }', f"https://a.example/${{CANARY}}?token={CANARY}"))
    assert CANARY not in f"{config!r} {describe(config)} {config.warnings}"
    assert "alerts        https://a.example/${CANARY}?…  when a circuit opens or closes" in describe(config)


def test_a_private_address_is_warned_of() -> None:
    assert read(hook(url="http://127.0.0.1:9000/")).warnings == (
        "alerts.url: found a loopback or private address, which is refused at every attempt; expected a public one; or set allow_private = true",
    )


def test_check_finds_a_url_that_cannot_be_posted_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "longstop.toml").write_text(HELLO + hook(url="http://127.1/"))
    assert app.run(("check", "--json", "--config", str(tmp_path / "longstop.toml")), _Program()) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.partition("longstop.toml:5: ")[2].startswith("alerts.url: not a URL that can be posted to")
