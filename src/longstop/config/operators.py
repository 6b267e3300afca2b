"""`[operators]`: who may use the operators' side, by which names it is asked for, and what is hidden from whom."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jmespath
from pydantic import AfterValidator, Field

from longstop.config import values
from longstop.config.errors import Fault, Problem, quoted
from longstop.config.fields import DURATION, REFERENCE, Credential, Host, PositiveDuration, Table
from longstop.model.accounts import Role
from longstop.model.addresses import is_loopback
from longstop.model.identity import OidcSettings
from longstop.model.masking import is_path
from longstop.model.settings import OperatorsSettings

_OPERATORS = OperatorsSettings()
_OIDC = OidcSettings("", "")
_MASK = "a JMESPath expression that names a field, or header:NAME"
_CLAIM = "a JMESPath expression over the claims of the ID token"
_ORIGIN = "a URL without a path, as https://longstop.example.com"
_ISSUER = "the issuer's https:// URL, as its configuration has it"

Raw = Mapping[str, Any]


def _claim(text: str) -> str:
    values.check_jmespath(text, _CLAIM, 'as in groups, or "https://example.com/roles" with its own quotes')
    return text


def _masked(text: str) -> str:
    if text.startswith("header:"):
        values.header_name(text.removeprefix("header:"))
        return text
    values.check_jmespath(text, _MASK, "as in from.address or messages[*].text")
    if not is_path(jmespath.compile(text).parsed):
        raise Fault(f"found {quoted(text)}, which computes something", _MASK, "as in from.address or messages[*].text")
    return text


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    written = f"{parts.scheme}://{parts.netloc}"
    fits = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and port != 0
    if not fits or text.rstrip("/") != written:
        raise Fault(f"found {quoted(text)}", _ORIGIN)
    return written


def _issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise Fault(f"found {quoted(text)}", _ISSUER)
    if parts.scheme == "http" and not is_loopback(host):
        raise Fault(f"found {quoted(text)}, which anybody on the way could answer for", _ISSUER)
    return text


class OidcTable(Table):
    """`oidc = { … }` of `[operators]`."""

    issuer: Annotated[str, AfterValidator(_issuer)] = Field(description=_ISSUER)
    client_id: str = Field(min_length=1, description="text: the client's id at the provider")
    client_secret: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    role_claim: Annotated[str, AfterValidator(_claim)] = Field(default=_OIDC.role_claim, description=_CLAIM)
    roles: dict[str, Literal["view", "replay", "admin"]] = Field(
        description='a table of what the claim says and "view", "replay" or "admin"',
        json_schema_extra={"item": '"view", "replay" or "admin"'},
    )
    name_claim: Annotated[str, AfterValidator(_claim)] = Field(default=_OIDC.name_claim, description=_CLAIM)
    scopes: list[str] = Field(
        default=list(_OIDC.scopes),
        description="a list of texts, one of them openid",
        json_schema_extra={"item": "text"},
    )


class OperatorsTable(Table):
    """`[operators]`"""

    auth: Literal["none", "users"] = Field(default="none", description='"none" or "users"')
    url: Annotated[str, AfterValidator(_origin)] | None = Field(default=None, description=_ORIGIN)
    allowed_hosts: list[Host] = Field(
        default=[],
        description='a list of names, as ["longstop.example.com"]',
        json_schema_extra={"item": "a name or an address, without a port"},
    )
    session_lifetime_ms: PositiveDuration = Field(
        default=_OPERATORS.session_lifetime_ms, alias="session_lifetime", description=DURATION
    )
    session_idle_ms: PositiveDuration = Field(
        default=_OPERATORS.session_idle_ms, alias="session_idle", description=DURATION
    )
    mask: list[Annotated[str, AfterValidator(_masked)]] = Field(
        default=[], description='a list of fields, as ["from.address", "text"]', json_schema_extra={"item": _MASK}
    )
    oidc: OidcTable | None = Field(default=None, description="a table with issuer, client_id and roles")
    mcp: bool = Field(default=False, description="true or false")


def settings(table: OperatorsTable) -> OperatorsSettings:
    """What the table says."""
    given = dict(table)
    for key in ("allowed_hosts", "mask"):
        given[key] = tuple(given[key])
    if table.oidc is not None:
        roles = MappingProxyType({claim: Role(role) for claim, role in table.oidc.roles.items()})
        given["oidc"] = OidcSettings(**{**dict(table.oidc), "roles": roles, "scopes": tuple(table.oidc.scopes)})
    return OperatorsSettings(**given)


def errors(document: Raw) -> Iterator[Problem]:
    """What the tables [server] and [operators] have to agree on."""
    operators, server = _table(document, "operators"), _table(document, "server")
    host, auth = server.get("admin_host", "127.0.0.1"), operators.get("auth", "none")
    if not isinstance(host, str):
        return
    if auth == "none" and not is_loopback(host):
        yield Problem(
            ("server", "admin_host"),
            f"found {quoted(host)}, which others can reach, and nobody is asked who he is",
            "127.0.0.1, ::1 or localhost",
            'or set operators.auth = "users", and then `longstop users add NAME --role admin`',
        )
    elif host in ("0.0.0.0", "::") and not operators.get("allowed_hosts") and not operators.get("url"):  # noqa: S104
        yield Problem(
            ("server", "admin_host"),
            f"found {quoted(host)}, and no name by which the operators' side is asked for",
            "operators.url, or names in operators.allowed_hosts",
            'as in url = "https://longstop.example.com"',
        )
    oidc = _table(operators, "oidc")
    if oidc and auth == "none":
        yield Problem(("operators", "oidc"), 'found it with auth = "none"', 'operators.auth = "users"', "or remove it")
    if oidc and not is_loopback(host) and not operators.get("url"):
        yield Problem(
            ("operators", "oidc"),
            "found it without operators.url",
            "the URL that the provider sends people back to",
            'as in url = "https://longstop.example.com"',
        )
    if "roles" in oidc and oidc["roles"] == {}:
        yield Problem(("operators", "oidc", "roles"), "found none", "one or more", "else nobody could sign in")
    if isinstance(oidc.get("scopes"), list) and "openid" not in oidc["scopes"]:
        yield Problem(
            ("operators", "oidc", "scopes"), "found no openid", "openid among them", "it is what asks for an ID token"
        )


def warnings(document: Raw) -> Iterator[Problem]:
    """What works and is unwise."""
    operators, server = _table(document, "operators"), _table(document, "server")
    host = server.get("admin_host", "127.0.0.1")
    if operators.get("auth") == "users" and not is_loopback(host) and not _is_encrypted(operators):
        yield Problem(
            ("server", "admin_host"),
            f"found {quoted(host)} and no https:// in operators.url: passwords go over the network as text",
            "a proxy before it that speaks TLS",
            "and operators.url, the URL that people open",
        )


def _is_encrypted(operators: Raw) -> bool:
    return str(operators.get("url")).startswith("https:")


def _table(node: Raw, key: str) -> Raw:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}
