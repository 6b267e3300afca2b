"""A destination's `auth` and `tls` in the configuration: what they become, every refusal, and no secret in any."""
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
from longstop.model.settings import AuthSettings, TlsSettings

BASE = Path("/etc/longstop")
HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
SCHEMES = "basic, bearer, hmac-sha1, hmac-sha256, hmac-sha512, standard-webhooks, oauth2-client-credentials"
HMACS = "hmac-sha1, hmac-sha256, hmac-sha512"
KEYS = "scheme, username, password, token, secrets, header, encoding, prefix, content, timestamp_header, id_header, token_url, client_id, client_secret, credentials, scope"
OAUTH = 'scheme = "oauth2-client-credentials", token_url = "https://t.example/token", client_id = "${C}", client_secret = "${S}"'
ENVIRON: Mapping[str, str] = MappingProxyType(
    {
        "S": "s3cret-of-many-characters",
        "C": "client",
        "SPACED": "a b",
        "COLON": "a:b",
        "WHSEC": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
        "WHPK": "whpk_MDEyMzQ1Njc4OWFiY2RlZg==",
        "DIR": "/run/keys",
    }
)


def read(text: str, environ: Mapping[str, str] = ENVIRON, base: Path = BASE) -> Config:
    return parse(text, where="longstop.toml", environ=environ, base=base)


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(text, environ)
    return list(raised.value.problems)


TO_D = '[[routes]]\nfrom = "hello"\nto = ["d"]\n'


def destination(lines: str, url: str = "https://d.example") -> str:
    return f'{TO_D}{HELLO}[destinations.d]\nurl = "{url}"\n{lines}'


def auth(table: str) -> str:
    return destination(f"auth = {{ {table} }}")


def hmac(table: str) -> str:
    return auth(f'scheme = "hmac-sha256", secrets = ["${{S}}"], header = "X-Sig", {table}')


# -- what it becomes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        (
            'scheme = "basic", username = "${C}", password = "${S}"',
            AuthSettings("basic", username="client", password=ENVIRON["S"]),
        ),
        ('scheme = "bearer", token = "${S}"', AuthSettings("bearer", token=ENVIRON["S"])),
        (
            'scheme = "hmac-sha512", secrets = ["${SPACED}"], header = "X-Sig", encoding = "base64", prefix = "v1 ", '
            'content = "{id}.{timestamp}.{body}", timestamp_header = "X-Time", id_header = "X-Id"',
            AuthSettings(
                "hmac-sha512",
                secrets=("a b",),
                header="X-Sig",
                encoding="base64",
                prefix="v1 ",
                content="{id}.{timestamp}.{body}",
                timestamp_header="X-Time",
                id_header="X-Id",
            ),
        ),
        (
            'scheme = "hmac-sha1", secrets = ["${S}"], header = "webhook-signature", '
            'content = "{id}{timestamp}{body}", timestamp_header = "webhook-timestamp", id_header = "webhook-id"',
            AuthSettings(
                "hmac-sha1",
                secrets=(ENVIRON["S"],),
                header="webhook-signature",
                content="{id}{timestamp}{body}",
                timestamp_header="webhook-timestamp",
                id_header="webhook-id",
            ),
        ),
        (
            'scheme = "standard-webhooks", secrets = ["${WHSEC}", "${WHSEC}"]',
            AuthSettings("standard-webhooks", secrets=(ENVIRON["WHSEC"],) * 2),
        ),
        (
            f'{OAUTH}, credentials = "form", scope = "a b"',
            AuthSettings(
                "oauth2-client-credentials",
                token_url="https://t.example/token",
                client_id="client",
                client_secret=ENVIRON["S"],
                credentials="form",
                scope="a b",
            ),
        ),
    ],
)
def test_every_key_reaches_its_setting(table: str, settings: AuthSettings) -> None:
    config = read(auth(table))
    assert config.destinations[0].auth == settings
    assert config.warnings == ()


def test_credentials_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    config = read(auth('scheme = "bearer", token = "file:token"'), base=tmp_path)
    assert config.destinations[0].auth == AuthSettings("bearer", token="t0ken")


def test_paths_of_tls_start_at_the_configurations_folder() -> None:
    config = read(destination('tls = { ca = "ca.pem", cert = "/abs/c.pem", key = "${DIR}/c.key" }'))
    assert config.destinations[0].tls == TlsSettings("/etc/longstop/ca.pem", "/abs/c.pem", "/run/keys/c.key")


def test_nothing_said_is_nothing_set() -> None:
    (plain,) = read(destination("")).destinations
    assert (plain.auth, plain.tls) == (None, None)


def test_tls_may_be_for_the_token_endpoint_alone() -> None:
    text = destination(f'auth = {{ {OAUTH} }}\ntls = {{ ca = "ca.pem" }}', url="http://d.example")
    assert read(text).destinations[0].tls == TlsSettings("/etc/longstop/ca.pem")


# -- what is refused ------------------------------------------------------------------------------

REFUSED = [
    # shape
    (destination('auth = "CANARY"'), 'auth: found text; expected a table such as { scheme = "bearer", token = … }'),
    (auth(""), f"auth.scheme: found nothing; expected one of {SCHEMES}; add scheme = …"),
    (auth('scheme = "beaer"'), f'auth.scheme: found "beaer"; expected one of {SCHEMES}; did you mean "bearer"?'),
    (auth('scheme = "none"'), f'auth.scheme: found "none"; expected one of {SCHEMES}'),
    (
        auth('scheme = "bearer", token = "${S}", tokn = "${S}"'),
        f'auth.tokn: found an unknown key; expected one of {KEYS}; did you mean "token"?',
    ),
    (auth('scheme = "bearer", token = 5'), "auth.token: found a number; expected ${VAR} or file:PATH"),
    (auth('scheme = "bearer", token = ""'), "auth.token: found an empty text; expected ${VAR} or file:PATH"),
    (
        auth('scheme = "bearer", token = "${GONE}"'),
        "auth.token: the environment variable GONE is not set; expected it to hold what the destination knows us by; set it, or use file:PATH",
    ),
    (
        auth('scheme = "bearer", token = "${SPACED}"'),
        "auth.token: found a space, a line break, a control character or a character beyond ASCII; expected a token of visible ASCII characters",
    ),
    (
        auth('scheme = "basic", username = "${COLON}", password = "${S}"'),
        "auth.username: found a colon in it; expected a user name without one; the password has a key of its own",
    ),
    (
        auth('scheme = "basic", username = "us", password = "file:gone"'),
        'auth.password: the file "gone" cannot be read (No such file or directory); expected a file that holds only the secret; a relative path starts at the configuration\'s folder',
    ),
    (hmac('encoding = "hx"'), 'auth.encoding: found "hx"; expected "hex" or "base64"; did you mean "hex"?'),
    (
        hmac('prefix = "a\\nb"'),
        "auth.prefix: found a line break, a control character or a character beyond ASCII; expected printable ASCII",
    ),
    (
        hmac('content = "{timestamp}"'),
        'auth.content: found "{timestamp}"; expected text with {body} once, and {timestamp} or {id} if they are signed',
    ),
    (
        auth(f'{OAUTH}, credentials = "post"'),
        'auth.credentials: found "post"; expected "basic" or "form"',
    ),
    (
        auth(OAUTH.replace("https://t.example/token", "t.example/token")),
        "auth.token_url: found no http:// or https:// at its start; expected http:// or https://, a host and a path",
    ),
    # what a scheme needs
    (
        auth('scheme = "basic", password = "${S}"'),
        'auth.username: found nothing; expected the user name, for scheme "basic"; as in username = "longstop"',
    ),
    (
        auth('scheme = "basic", username = "us"'),
        'auth.password: found nothing; expected the password, for scheme "basic"; as in password = "${VAR}" or "file:PATH"',
    ),
    (
        auth('scheme = "bearer"'),
        'auth.token: found nothing; expected the token, for scheme "bearer"; as in token = "${VAR}" or "file:PATH"',
    ),
    (
        auth('scheme = "hmac-sha1", header = "X-Sig"'),
        'auth.secrets: found nothing; expected what signs, for scheme "hmac-sha1"; as in secrets = ["${VAR}"] or ["file:PATH"]',
    ),
    (
        auth('scheme = "hmac-sha256", secrets = ["${S}"]'),
        'auth.header: found nothing; expected the name of the header that carries the signature, for scheme "hmac-sha256"; as in header = "X-Signature"',
    ),
    (
        auth('scheme = "standard-webhooks", secrets = []'),
        'auth.secrets: found nothing; expected what signs, for scheme "standard-webhooks"; as in secrets = ["${VAR}"] or ["file:PATH"]',
    ),
    (
        auth(OAUTH.replace('token_url = "https://t.example/token", ', "")),
        'auth.token_url: found nothing; expected the URL that gives tokens, for scheme "oauth2-client-credentials"; as in token_url = "https://login.example/oauth/token"',
    ),
    (
        auth(OAUTH.replace('client_id = "${C}", ', "")),
        'auth.client_id: found nothing; expected the client id, for scheme "oauth2-client-credentials"; as in client_id = "${VAR}"',
    ),
    (
        auth(OAUTH.replace(', client_secret = "${S}"', "")),
        'auth.client_secret: found nothing; expected the client secret, for scheme "oauth2-client-credentials"; as in client_secret = "${VAR}" or "file:PATH"',
    ),
    # what a scheme has no use for
    (
        auth('scheme = "bearer", token = "${S}", password = "${S}"'),
        'auth.password: found password with scheme "bearer", which has no use for it; expected it only with basic; remove it',
    ),
    (
        auth('scheme = "standard-webhooks", secrets = ["${WHSEC}"], encoding = "hex"'),
        f'auth.encoding: found encoding with scheme "standard-webhooks", which has no use for it; expected it only with {HMACS}; remove it',
    ),
    (
        auth('scheme = "basic", username = "us", password = "${S}", scope = "a"'),
        'auth.scope: found scope with scheme "basic", which has no use for it; expected it only with oauth2-client-credentials; remove it',
    ),
    (
        hmac('timestamp_header = "X-Time"'),
        "auth.timestamp_header: found timestamp_header and no {timestamp} in content; expected it only where {timestamp} is signed; put {timestamp} into content, or remove timestamp_header",
    ),
    (
        hmac('id_header = "X-Id"'),
        "auth.id_header: found id_header and no {id} in content; expected it only where {id} is signed; put {id} into content, or remove id_header",
    ),
    # secrets that cannot sign
    (
        auth('scheme = "hmac-sha256", header = "X-Sig", secrets = ["${S}", "${S}"]'),
        'auth.secrets: found 2 secrets; expected one for scheme "hmac-sha256"; a header carries one signature',
    ),
    (
        auth('scheme = "standard-webhooks", secrets = ["${WHSEC}", "${S}"]'),
        "auth.secrets[1]: found a secret that is no key of Standard Webhooks; expected base64 after whsec_; "
        'it is made by, for example, "whsec_" and the output of openssl rand -base64 32',
    ),
    (
        auth('scheme = "standard-webhooks", secrets = ["${WHPK}"]'),
        "auth.secrets[0]: found a secret that is no key of Standard Webhooks; expected base64 after whsec_; "
        'it is made by, for example, "whsec_" and the output of openssl rand -base64 32',
    ),
    # headers
    (
        destination('auth = { scheme = "bearer", token = "${S}" }\nheaders = { AUTHORIZATION = "x" }'),
        "headers.AUTHORIZATION: found a header that auth sets; expected other headers; remove it, or auth",
    ),
    (
        destination(f'auth = {{ {OAUTH} }}\nheaders = {{ Authorization = "x" }}'),
        "headers.Authorization: found a header that auth sets; expected other headers; remove it, or auth",
    ),
    (
        hmac('content = "{timestamp}{body}", timestamp_header = "X-Time" }\nheaders = { x-time = "5"'),
        "headers.x-time: found a header that auth sets; expected other headers; remove it, or auth",
    ),
    (
        hmac('encoding = "hex" }\nheaders = { x-sig = "5"'),
        "headers.x-sig: found a header that auth sets; expected other headers; remove it, or auth",
    ),
    (
        auth('scheme = "hmac-sha256", secrets = ["${S}"], header = "Webhook-Id"'),
        'auth.header: found "Webhook-Id", which Longstop sets itself; expected another header; as in "X-Signature"',
    ),
    (
        hmac('content = "{timestamp}{body}", timestamp_header = "Content-Type"'),
        'auth.timestamp_header: found "Content-Type", which Longstop sets itself; expected another header; as in "X-Signature"',
    ),
    (
        hmac('content = "{id}{body}", id_header = "x-sig"'),
        'auth.id_header: found "x-sig" a second time; expected each header once; case makes no difference',
    ),
    # tls
    (destination('tls = "ca.pem"'), 'tls: found text; expected a table such as { ca = "ca.pem" }'),
    (
        destination("tls = {}"),
        'tls: found an empty table; expected ca, or cert and key, or all of them; as in { ca = "ca.pem" } or { cert = "client.pem", key = "client.key" }',
    ),
    (
        destination('tls = { key = "a.key" }'),
        'tls.cert: found key and no cert; expected the certificate that the key belongs to; as in cert = "client.pem"',
    ),
    (destination('tls = { ca = "file:ca.pem" }'), 'tls.ca: found "file:ca.pem"; expected a path; without file:'),
    (
        destination('tls = { ca = "" }'),
        "tls.ca: found an empty text; expected the path of a file with certificates in PEM",
    ),
    (
        destination('tls = { ca = "ca.pem" }', url="http://d.example"),
        "tls: found tls with an http:// URL, which has no use for it; expected it only with https://; remove it, or mend the URL",
    ),
    # beside a handler
    (
        f'{HELLO}[destinations.d]\nhandler = "a:b"\nauth = {{ scheme = "bearer", token = "${{S}}" }}',
        "auth: found auth at a destination without a url, which has no use for it; expected it only beside url; remove it",
    ),
    (
        f'{HELLO}[destinations.d]\nhandler = "a:b"\ntls = {{ ca = "ca.pem" }}',
        "tls: found tls at a destination without a url, which has no use for it; expected it only beside url; remove it",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_each_fault_in_its_own_words(text: str, message: str) -> None:
    assert problems(text) == [f"destinations.d.{message}"]


def test_all_faults_come_at_once() -> None:
    text = destination(
        'auth = { scheme = "basic", token = "${GONE}", header = "a b" }\n'
        'tls = { ca = "", key = "k" }\nheaders = { authorization = "x" }'
    )
    assert [problem.partition(": ")[0].removeprefix("destinations.d.") for problem in problems(text)] == [
        "auth.token",
        "auth.token",
        "auth.header",
        "auth.header",
        "auth.username",
        "auth.password",
        "tls.ca",
        "tls.cert",
        "headers.authorization",
    ]


def test_a_variable_that_is_not_set_is_a_warning() -> None:
    text = destination('handler = "a.b:c"\nisolation = "process"\nenv = ["CRM_TOKEN", "CRM_URL"]').replace(
        'url = "https://d.example"\n', ""
    )
    config = read(text, environ={"CRM_URL": "x"})
    assert config.destinations[0].env == ("CRM_TOKEN", "CRM_URL")
    assert config.warnings == (
        "destinations.d.env[0]: the environment variable CRM_TOKEN is not set, and the handler will not find it; "
        "expected it to be set; set it, or remove it from env",
    )


# -- warnings -------------------------------------------------------------------------------------


def test_what_is_unwise_is_warned_of() -> None:
    said = "found a secret written into the file; expected ${VAR} or file:PATH; whoever reads the file can pass for this program"
    for table, place in (
        ('scheme = "bearer", token = "abc"', "token"),
        ('scheme = "basic", username = "us", password = "abc"', "password"),
        (OAUTH.replace("${S}", "abc"), "client_secret"),
        ('scheme = "hmac-sha256", header = "X-Sig", secrets = ["abc"]', "secrets[0]"),
    ):
        assert read(auth(table)).warnings == (f"destinations.d.auth.{place}: {said}",)


def test_a_token_endpoint_that_is_refused_at_every_attempt_is_warned_of() -> None:
    table = OAUTH.replace("t.example", "10.0.0.1")
    assert read(auth(table)).warnings == (
        "destinations.d.auth.token_url: found a loopback or private address, which is refused at every attempt; "
        "expected a public one; or set allow_private = true",
    )
    assert read(destination(f"auth = {{ {table} }}\nallow_private = true")).warnings == ()


# -- secrets stay secret --------------------------------------------------------------------------

CANARY = "CANARY-b7f1"


@pytest.mark.parametrize(
    "text",
    [
        auth(f'scheme = "bearer", token = ["{CANARY}"]'),
        auth(f'scheme = "bearer", token = "{CANARY} b"'),
        auth(f'scheme = "bearer", tokn = "{CANARY}"'),
        auth(f'scheme = "basic", username = "{CANARY}:", password = ["{CANARY}"]'),
        auth(f'scheme = "standard-webhooks", secrets = ["{CANARY}"]'),
        auth(f'scheme = "standard-webhooks", secrets = "{CANARY}"'),
        auth(f'scheme = "hmac-sha256", secrets = ["{CANARY}", "{CANARY}"]'),
        auth(f'{OAUTH}, token = "{CANARY}"'),
        auth(OAUTH.replace("https://", f"https://me:{CANARY}@")),
        auth(OAUTH.replace("https://t.example", f"https://t.example:{CANARY}")),
        auth(OAUTH.replace('"${S}"', f'{{ a = "{CANARY}" }}')),
        auth(OAUTH.replace('"${S}"', f'"{CANARY}${{"')),
        destination(f'auth = "{CANARY}"'),
        destination(f'auth = ["{CANARY}"]'),
        destination('tls = { ca = "${CANARY}", key = 5 }'),
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(text, {**ENVIRON, "CANARY": CANARY})
    assert CANARY not in f"{raised.value} {raised.value!r}"
    # Tracebacks with chained errors are printed too.
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)


@pytest.mark.parametrize(
    "table",
    [
        f'scheme = "basic", username = "us", password = "{CANARY}"',
        f'scheme = "bearer", token = "{CANARY}"',
        f'scheme = "hmac-sha256", header = "X-Sig", secrets = ["{CANARY}"]',
        OAUTH.replace("${S}", CANARY).replace("/token", f"/{CANARY}"),
    ],
)
def test_no_repr_warning_or_description_shows_a_secret(table: str) -> None:
    config = read(auth(table))
    shown = f"{config!r} {config} {config.destinations!r} {describe(config)} {config.warnings}"
    assert CANARY not in shown


# -- check ----------------------------------------------------------------------------------------


def test_check_reads_the_files_of_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "longstop.toml"
    path.write_text(
        destination('tls = { ca = "ca.pem" }')
        + '\n[destinations.e]\nurl = "https://e.example"\ntls = { cert = "e.pem" }\n'
    )
    (tmp_path / "e.pem").write_text("nothing of the kind")
    assert app.run(("check", "--json", "--config", str(path)), _Program()) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [
        f'{path}:9: destinations.d.tls.ca: the file "{tmp_path}/ca.pem" cannot be read (No such file or directory); '
        "expected certificates in PEM; a relative path starts at the configuration's folder",
        f'{path}:12: destinations.e.tls.cert: found no certificate in "{tmp_path}/e.pem"; expected certificates in PEM',
    ]
