"""`[operators]`: what is taken, what is refused and in which words."""

from pathlib import Path

import pytest

from longstop.config import Config, parse
from longstop.model.accounts import Role
from longstop.model.errors import ConfigurationError
from longstop.model.settings import OperatorsSettings

HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
OIDC = 'issuer = "https://id.example", client_id = "longstop"'
ROLES = 'roles = { ops = "replay" }'
PATH = "expected a JMESPath expression that names a field, or header:NAME; as in from.address or messages[*].text"


def read(text: str, **environ: str) -> Config:
    return parse(HELLO + text, where="longstop.toml", environ=environ, base=Path("/nowhere"))


def test_without_the_table_nobody_is_asked_on_this_machine() -> None:
    assert read("").operators == OperatorsSettings()
    assert (read("").operators.auth, read("").server.admin_host) == ("none", "127.0.0.1")


def test_the_whole_table() -> None:
    found = read(
        '[server]\nadmin_host = "0.0.0.0"\n[operators]\nauth = "users"\nurl = "https://ops.example:8443/"\n'
        'allowed_hosts = ["10.0.0.5"]\nsession_lifetime = "8h"\nsession_idle = "30m"\n'
        'mask = ["from.address", "messages[*].text", "header:X-Phone"]\n'
        f'oidc = {{ {OIDC}, client_secret = "${{S}}", role_claim = "realm_access.roles", '
        'roles = { ops = "replay", boss = "admin" } }',
        S="hunter2-hunter2",
    ).operators
    assert (found.url, found.session_lifetime_ms, found.session_idle_ms) == (
        "https://ops.example:8443",
        28_800_000,
        1_800_000,
    )
    assert found.mask == ("from.address", "messages[*].text", "header:X-Phone")
    assert found.oidc is not None
    assert dict(found.oidc.roles) == {"ops": Role.REPLAY, "boss": Role.ADMIN}
    assert found.oidc.client_secret == "hunter2-hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[operators]\nauth = "basic"', 'operators.auth: found "basic"; expected "none" or "users"'),
        (
            '[server]\nadmin_host = "0.0.0.0"\n[operators]\nauth = "users"',
            'server.admin_host: found "0.0.0.0", and no name by which the operators\' side is asked for; expected '
            'operators.url, or names in operators.allowed_hosts; as in url = "https://longstop.example.com"',
        ),
        (
            '[operators]\nurl = "https://ops.example/console"',
            'operators.url: found "https://ops.example/console"; expected a URL without a path, as '
            "https://longstop.example.com",
        ),
        (
            '[operators]\nmask = ["length(text)"]',
            f'operators.mask[0]: found "length(text)", which computes something; {PATH}',
        ),
        ('[operators]\nmask = ["a."]', f'operators.mask[0]: found "a.", which ends too early; {PATH}'),
        (
            '[operators]\nmask = "text"',
            'operators.mask: found text; expected a list of fields, as ["from.address", "text"]',
        ),
        (
            f"[operators]\noidc = {{ {OIDC}, {ROLES} }}",
            'operators.oidc: found it with auth = "none"; expected operators.auth = "users"; or remove it',
        ),
        (
            f'[server]\nadmin_host = "10.0.0.5"\n[operators]\nauth = "users"\noidc = {{ {OIDC}, {ROLES} }}',
            "operators.oidc: found it without operators.url; expected the URL that the provider sends people back to; "
            'as in url = "https://longstop.example.com"',
        ),
        (
            '[operators]\nauth = "users"\n'
            'oidc = { issuer = "http://id.example", client_id = "x", roles = { a = "view" } }',
            'operators.oidc.issuer: found "http://id.example", which anybody on the way could answer for; expected '
            "the issuer's https:// URL, as its configuration has it",
        ),
        (
            f'[operators]\nauth = "users"\noidc = {{ {OIDC}, roles = {{ a = "root" }} }}',
            'operators.oidc.roles.a: found "root"; expected "view", "replay" or "admin"',
        ),
        (
            f'[operators]\nauth = "users"\noidc = {{ {OIDC}, roles = {{}} }}',
            "operators.oidc.roles: found none; expected one or more; else nobody could sign in",
        ),
        (
            f'[operators]\nauth = "users"\noidc = {{ {OIDC}, {ROLES}, scopes = ["email"] }}',
            "operators.oidc.scopes: found no openid; expected openid among them; it is what asks for an ID token",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(text)
    assert list(raised.value.problems) == [message]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "ops.example", "::ffff:10.0.0.5"])
def test_nobody_else_reaches_it_without_being_asked_who_he_is(host: str) -> None:
    with pytest.raises(ConfigurationError, match="which others can reach, and nobody is asked who he is"):
        read(f'[server]\nadmin_host = "{host}"\n[operators]\nallowed_hosts = ["x"]')
    assert read(f'[server]\nadmin_host = "{host}"\n[operators]\nauth = "users"\nallowed_hosts = ["x"]')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_this_machine_may(host: str) -> None:
    assert read(f'[server]\nadmin_host = "{host}"').operators.auth == "none"


def test_passwords_in_the_open_are_warned_of() -> None:
    text = '[server]\nadmin_host = "10.0.0.5"\n[operators]\nauth = "users"\n'
    (warning,) = [each for each in read(text).warnings if "admin_host" in each]
    assert "passwords go over the network as text" in warning
    assert not any("admin_host" in each for each in read(f'{text}url = "https://ops.example"').warnings)
