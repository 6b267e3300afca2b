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
from longstop.model.alert import Severity, Wanted
from longstop.model.alert_channel import AlertsSettings, ChannelSettings, EmailSettings
from longstop.model.alert_conditions import AlertPolicy
from longstop.model.errors import ConfigurationError

HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
CANARY = "CANARY-b7f1"
ENVIRON: Mapping[str, str] = MappingProxyType(
    {"TOKEN": "t0ken", "CANARY": CANARY, "BROKEN": f"{CANARY}\n", "SIGNS": "c2VjcmV0"}
)
HTTP = "http:// or https://, a host and a path"


def read(lines: str) -> Config:
    return parse(f"{HELLO}{lines}", where="longstop.toml", environ=ENVIRON, base=Path("/etc/longstop"))


def hook(lines: str = "", url: str = "https://a.example/hook") -> str:
    return f'[alerts]\nurl = "{url}"\n{lines}'


def channel(name: str, lines: str) -> str:
    return f"[alerts.channels.{name}]\n{lines}\n"


SLACK = channel("team", 'kind = "slack"\nurl = "https://${TOKEN}.example/x"')
MAIL = channel("mail", 'kind = "email"\nsmtp = { host = "m.example" }\nfrom = "l@e.example"\nto = ["on@e.example"]')


def test_every_key_reaches_its_setting() -> None:
    config = read(
        hook(
            'timeout = "2s"\nallow_private = true\nheaders = { Authorization = "Bearer ${TOKEN}" }', "http://a/${TOKEN}"
        )
    )
    headers = (("Authorization", "Bearer t0ken"),)
    assert config.alerts.channels == (
        ChannelSettings("url", "url", "http://a/t0ken", timeout_ms=2_000, allow_private=True, headers=headers),
    )
    assert config.alerts.function_timeout_ms == 2_000
    assert config.warnings == (
        "alerts.url: found http://, over which everybody on the way reads what url and headers.Authorization holds; "
        "expected https://; unless the network is your own",
    )


def test_every_kind_of_channel() -> None:
    config = read(
        '[alerts]\nname = "prod"\n'
        + SLACK
        + channel("teams", 'kind = "teams"\nurl = "https://${TOKEN}.example/y"\nmin_severity = "error"')
        + channel("pager", 'kind = "pagerduty"\nrouting_key = "${TOKEN}"\nkinds = ["circuit", "disk_low"]')
        + channel("genie", 'kind = "opsgenie"\napi_key = "${TOKEN}"\nurl = "https://api.eu.opsgenie.com/v2/alerts"')
        + channel("hook", 'kind = "url"\nurl = "https://a.example"\nsecret = "${SIGNS}"')
        + channel(
            "mail",
            'kind = "email"\nsmtp = { host = "m.example", port = 465, security = "tls", username = "me", '
            'password = "${TOKEN}" }\nfrom = "l@e.example"\nto = ["a@e.example", "b@e.example"]\ntimeout = "9s"',
        )
    )
    assert config.warnings == ()
    team, teams, pager, genie, signed, mail = config.alerts.channels
    assert team == ChannelSettings("team", "slack", "https://t0ken.example/x", install="prod")
    assert teams.wanted == Wanted(Severity.ERROR)
    assert (pager.url, pager.key) == ("https://events.pagerduty.com/v2/enqueue", "t0ken")
    assert pager.wanted == Wanted(kinds=frozenset({"circuit", "disk_low"}))
    assert (genie.url, genie.key) == ("https://api.eu.opsgenie.com/v2/alerts", "t0ken")
    assert signed.key == "c2VjcmV0"
    to = ("a@e.example", "b@e.example")
    assert mail.email == EmailSettings("m.example", to, "l@e.example", 465, "tls", "me", "t0ken")
    assert mail.timeout_ms == 9_000


def test_the_thresholds_reach_the_policy() -> None:
    config = read(
        '[alerts]\nbacklog_older_than = "1h"\nrefused_at_least = 9\nrefused_within = "5m"\ndisk_below = "5GB"\n'
        'every = "10m"\ngroup = "0s"\nremind = "1d"\n'
    )
    assert config.alerts.policy == AlertPolicy(3_600_000, 9, 300_000, 5_000_000_000, 600_000, 0, 86_400_000)
    never = read('[alerts]\nbacklog_older_than = "0s"\nremind = "0s"\n').alerts.policy
    assert (never.backlog_older_than_ms, never.remind_ms) == (None, None)


def test_what_is_left_out_has_the_models_defaults() -> None:
    assert read(hook()).alerts.channels == (ChannelSettings("url", "url", "https://a.example/hook"),)
    for nothing in ("", "[alerts]\n"):
        assert read(nothing).alerts == AlertsSettings(policy=AlertPolicy(disk_below_bytes=200_000_000))
    assert read('[store]\nmin_free = "1GB"\n').alerts.policy.disk_below_bytes == 2_000_000_000


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('alerts = "https://a.example"', "alerts: found text; expected a table: [alerts]"),
        ('[alerts]\nallow_private = true', "alerts.allow_private: found allow_private without a url that it could belong to; expected it only beside url; or put it into a table [alerts.channels.NAME]"),
        ('[alerts]\nname = "Prod 1"', 'alerts.name: found "Prod 1"; expected a name: 1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit'),
        (channel("a.b", 'kind = "slack"'), 'alerts.channels.a.b: found an unknown key; expected one of kind, url, routing_key, api_key, secret, smtp, from, to, min_severity, kinds, timeout, allow_private, headers; remove it'),
        (channel('"A B"', 'kind = "slack"\nurl = "https://a.example"'), 'alerts.channels."A B": found the name "A B"; expected the channel\'s name to be 1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit; rename it'),
        (channel("x", 'kind = "sms"'), 'alerts.channels.x.kind: found "sms"; expected one of slack, teams, pagerduty, opsgenie, email, url'),
        (channel("x", 'kind = "slack"'), 'alerts.channels.x.url: found nothing; expected the URL that alerts are posted to, for kind "slack"; as in url = "${VAR}"'),
        (channel("x", 'kind = "pagerduty"'), 'alerts.channels.x.routing_key: found nothing; expected the integration key of a service, for kind "pagerduty"; as in routing_key = "${VAR}" or "file:PATH"'),
        (channel("x", 'kind = "opsgenie"'), 'alerts.channels.x.api_key: found nothing; expected the key of an API integration, for kind "opsgenie"; as in api_key = "${VAR}" or "file:PATH"'),
        (channel("x", 'kind = "email"\nsmtp = { host = "m" }\nfrom = "a@b"'), 'alerts.channels.x.to: found nothing; expected whom mail goes to, for kind "email"; as in to = ["oncall@example.com"]'),
        (channel("x", 'kind = "email"\nfrom = "Ada <a@b>"'), 'alerts.channels.x.from: found "Ada <a@b>"; expected one mail address, without a name; as in "oncall@example.com"'),
        (channel("x", 'kind = "email"\nto = ["a@b\\nBcc: c@d"]'), 'alerts.channels.x.to[0]: found "a@b\\nBcc: c@d"; expected one mail address, without a name; as in "oncall@example.com"'),
        (channel("x", 'kind = "email"\nsmtp = { host = "m", username = "u" }'), "alerts.channels.x.smtp.password: found nothing; expected it beside username; a mail server asks for both"),
        (channel("x", 'kind = "email"\nsmtp = { host = "m", username = "u", password = "${TOKEN}", security = "none" }'), 'alerts.channels.x.smtp.security: found a password with security "none", which would be sent in the clear; expected "starttls" or "tls"; or no username and password'),
        (channel("x", 'kind = "slack"\nurl = "https://a"\nrouting_key = "${TOKEN}"'), 'alerts.channels.x.routing_key: found routing_key with kind "slack", which has no use for it; expected it only with pagerduty; remove it'),
        (channel("x", 'kind = "url"\nurl = "https://a"\nsecret = "${TOKEN}"'), "alerts.channels.x.secret: found no base64; expected a secret of Standard Webhooks: base64, after whsec_ or not; `openssl rand -base64 32` makes one"),
        (channel("x", 'kind = "url"\nurl = "https://a"\nkinds = ["circuits"]'), 'alerts.channels.x.kinds[0]: found "circuits"; expected one of dead_letters, circuit, backlog, source_silent, refused, disk_low, node_lost, spool, job_done; did you mean "circuit"?'),
        (channel("x", 'kind = "url"\nurl = "https://a"\nkinds = ["test"]'), 'alerts.channels.x.kinds[0]: found "test"; expected one of dead_letters, circuit, backlog, source_silent, refused, disk_low, node_lost, spool, job_done'),
        (channel("x", 'kind = "url"\nurl = "https://a"\nmin_severity = "bad"'), 'alerts.channels.x.min_severity: found "bad"; expected one of info, warning, error, critical'),
        (channel("x", 'kind = "url"\nurl = "https://a"\nheaders = { Webhook-Id = "1" }'), "alerts.channels.x.headers.Webhook-Id: found a header that Longstop sets itself; expected other headers; remove it"),
        (hook() + channel("url", 'kind = "slack"\nurl = "https://a"'), 'alerts.channels.url: found the name "url" beside url in [alerts], which is the channel of that name; expected another name; rename it'),
        ('[sources.longstop]\nkind = "generic"\nverify = { scheme = "none" }', 'sources.longstop: found the name "longstop", which is the source of Longstop\'s own events; expected another name; rename it, also in the routes'),
        ('[destinations."alerts.team"]\nurl = "https://a.example"', 'destinations."alerts.team": found the name "alerts.team"; expected the destination\'s name to be 1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit; rename it, also in the routes'),
        ('[alerts]\nulr = "https://a.example"', 'alerts.ulr: found an unknown key; expected one of url, timeout, allow_private, headers, name, backlog_older_than, refused_at_least, refused_within, disk_below, every, group, remind, channels; did you mean "url"?'),
        ('[alert]\nurl = "https://a.example"', 'alert: found an unknown key; expected one of server, store, worker, retention, alerts, operators, telemetry, console, sources, destinations, routes; did you mean "alerts"?'),
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
        channel("x", f'kind = "pagerduty"\nrouting_key = ["{CANARY}"]'),
        channel("x", f'kind = "opsgenie"\napi_key = {{ a = "{CANARY}" }}'),
        channel("x", 'kind = "url"\nurl = "https://a.example"\nsecret = "${CANARY}"'),
        channel("x", f'kind = "slack"\nurl = "slack.example/{CANARY}"'),
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
    assert "alerts        url (url)  https://a.example/${CANARY}?…" in describe(config)
    more = (
        channel("pager", 'kind = "pagerduty"\nrouting_key = "${CANARY}"\nkinds = ["backlog"]')
        + channel("team", 'kind = "slack"\nurl = "https://a.example/${CANARY}"\nmin_severity = "error"')
        + MAIL.replace('"m.example"', '"m.example", username = "u", password = "${CANARY}"')
    )
    config = read(more)
    assert CANARY not in f"{config!r} {config.warnings}"
    lines = [line for line in describe(config).splitlines() if line.startswith("alerts")]
    assert lines == [
        "alerts        pager (pagerduty)  https://events.pagerduty.com/v2/enqueue  only backlog",
        "alerts        team (slack)  https://a.example/${CANARY}  from error on",
        "alerts        mail (email)  m.example:587 to on@e.example",
    ]


def test_a_secret_in_the_file_is_warned_of() -> None:
    config = read(
        channel("pager", 'kind = "pagerduty"\nrouting_key = "abc"')
        + channel("team", 'kind = "slack"\nurl = "https://a.example/T1"')
        + channel("hook", 'kind = "url"\nurl = "https://a.example/x"')
    )
    said = "found a secret written into the file; expected"
    assert config.warnings == (
        f"alerts.channels.pager.routing_key: {said} ${{VAR}} or file:PATH; whoever reads the file can post as you",
        f"alerts.channels.team.url: {said} ${{VAR}}; whoever reads the file can post as you",
    )


def test_a_handler_in_code_cannot_have_a_channels_name() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(HELLO, where="x", environ=ENVIRON, base=Path("/"), handlers=["alerts.team"])
    assert raised.value.problems == (
        'destinations."alerts.team": found a handler registered in code as "alerts.team", which is an alert channel\'s '
        'name; expected a name without "alerts."; rename it',
    )


def test_a_private_address_is_warned_of() -> None:
    assert read(hook(url="http://127.0.0.1:9000/")).warnings == (
        "alerts.url: found a loopback or private address, which is refused at every attempt; expected a public one; or set allow_private = true",
    )


def test_check_finds_a_url_that_cannot_be_posted_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "longstop.toml").write_text(HELLO + hook(url="http://127.1/"))
    assert app.run(("check", "--json", "--config", str(tmp_path / "longstop.toml")), _Program()) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.partition("longstop.toml:5: ")[2].startswith("alerts.url: not a URL that can be posted to")
