"""`[alerts]`: its tables, and the settings that they become."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from longstop.config import values
from longstop.config.errors import Fault, listed, nearest, quoted
from longstop.config.fields import (
    DURATION,
    REFERENCE,
    Credential,
    DiskSize,
    Duration,
    FilePath,
    HeaderValue,
    Host,
    Port,
    PositiveDuration,
    SecretUrl,
    Table,
    UserName,
)
from longstop.model.alert import KINDS, LONGSTOP, TOLD_WHATEVER, Severity, Wanted
from longstop.model.alert_channel import (
    SHORTHAND,
    URLS,
    AlertsSettings,
    ChannelKind,
    ChannelSettings,
    EmailSettings,
    SmtpSecurity,
)
from longstop.model.alert_conditions import AlertPolicy
from longstop.model.settings import ALERT_TIMEOUT_MS

ALERT_KINDS: Mapping[str, object] = MappingProxyType(
    {name: kind for name, kind in KINDS.items() if name != TOLD_WHATEVER}
)
"""Those that a channel can be set to take."""
CHANNEL_KINDS: tuple[str, ...] = get_args(ChannelKind)
_POLICY = AlertPolicy()
_SEVERITIES = tuple(str(each) for each in Severity)


def _mail_address(text: str) -> str:
    """`alerts@example.com`: enough of it to be handed to a mail server, and no second line in a head."""
    local, at, domain = text.partition("@")
    if not (at and local and domain) or not text.isascii() or any(char in ' \t\r\n,;:<>"\\' for char in text):
        raise Fault(f"found {quoted(text)}", "one mail address, without a name", 'as in "oncall@example.com"')
    return text


def _alert_kind(text: str) -> str:
    if text not in ALERT_KINDS:
        raise Fault(f"found {quoted(text)}", f"one of {listed(ALERT_KINDS)}", nearest(text, ALERT_KINDS))
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]
AlertKindName = Annotated[str, AfterValidator(_alert_kind)]
InstallName = Annotated[str, AfterValidator(values.name)]


class SmtpTable(Table):
    """`smtp = { … }` of a channel."""

    host: Host = Field(description="the name or address of a mail server")
    port: Port = Field(default=587, description="a port from 1 to 65535")
    security: SmtpSecurity = Field(default="starttls", description='"starttls", "tls" or "none"')
    username: UserName | None = Field(default=None, description="the user name, without a colon")
    password: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    ca: FilePath | None = Field(default=None, description="the path of a file with certificates in PEM")


class ChannelTable(Table):
    """`[alerts.channels.NAME]`"""

    kind: ChannelKind = Field(description=f"one of {listed(CHANNEL_KINDS)}")
    url: SecretUrl | None = Field(default=None, repr=False, description="text: an http:// or https:// URL")
    routing_key: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    api_key: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    secret: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    smtp: SmtpTable | None = Field(default=None, description='a table such as { host = "mail.example" }')
    from_: MailAddress | None = Field(default=None, alias="from", description="a mail address")
    to: list[MailAddress] = Field(
        default=[],
        description='a list of mail addresses, as ["oncall@example.com"]',
        json_schema_extra={"item": "a mail address"},
    )
    min_severity: Literal["info", "warning", "error", "critical"] = Field(
        default="info", description=f"one of {listed(_SEVERITIES)}"
    )
    kinds: list[AlertKindName] | None = Field(
        default=None,
        description=f"a list of kinds of alerts: {listed(ALERT_KINDS)}",
        json_schema_extra={"item": "a kind of alert"},
    )
    timeout_ms: PositiveDuration = Field(default=ALERT_TIMEOUT_MS, alias="timeout", description=DURATION)
    allow_private: bool = Field(default=False, description="true or false")
    headers: dict[str, HeaderValue] = Field(
        default={}, repr=False, description="a table of names and texts", json_schema_extra={"item": "text"}
    )


class AlertsTable(Table):
    """`[alerts]`"""

    url: SecretUrl | None = Field(default=None, repr=False, description="text: an http:// or https:// URL")
    timeout_ms: PositiveDuration = Field(default=ALERT_TIMEOUT_MS, alias="timeout", description=DURATION)
    allow_private: bool = Field(default=False, description="true or false")
    headers: dict[str, HeaderValue] = Field(
        default={}, repr=False, description="a table of names and texts", json_schema_extra={"item": "text"}
    )
    name: InstallName = Field(default=LONGSTOP, description=f"a name: {values.NAME}")
    backlog_older_than_ms: Duration = Field(
        default=_POLICY.backlog_older_than_ms or 0, alias="backlog_older_than", description=DURATION
    )
    refused_at_least: int = Field(
        default=_POLICY.refused_at_least, ge=1, le=1_000_000, description="a whole number from 1 to 1000000"
    )
    refused_within_ms: PositiveDuration = Field(
        default=_POLICY.refused_within_ms, alias="refused_within", description=DURATION
    )
    disk_below_bytes: DiskSize | None = Field(
        default=None, alias="disk_below", description='a size such as "5GB" or "1GiB"'
    )
    every_ms: PositiveDuration = Field(default=_POLICY.every_ms, alias="every", description=DURATION)
    group_ms: Duration = Field(default=_POLICY.group_ms, alias="group", description=DURATION)
    remind_ms: Duration = Field(default=_POLICY.remind_ms or 0, alias="remind", description=DURATION)
    channels: dict[str, ChannelTable] = Field(
        default={},
        description="tables: [alerts.channels.NAME]",
        json_schema_extra={"item": "a table: [alerts.channels.NAME]"},
    )


def settings(table: AlertsTable | None, min_free_bytes: int) -> AlertsSettings:
    """The settings that the table comes to. min_free_bytes: of the store."""
    table = table or AlertsTable()
    channels = [_channel(name, each, table.name) for name, each in table.channels.items()]
    if table.url is not None:
        channels.insert(0, _shorthand(table))
    below = table.disk_below_bytes
    policy = AlertPolicy(
        # Said as a duration, "0s" is never.
        backlog_older_than_ms=table.backlog_older_than_ms or None,
        refused_at_least=table.refused_at_least,
        refused_within_ms=table.refused_within_ms,
        disk_below_bytes=2 * min_free_bytes if below is None else below,
        every_ms=table.every_ms,
        group_ms=table.group_ms,
        remind_ms=table.remind_ms or None,
    )
    return AlertsSettings(tuple(channels), policy, table.timeout_ms)


def _shorthand(table: AlertsTable) -> ChannelSettings:
    return ChannelSettings(
        SHORTHAND,
        "url",
        table.url or "",
        timeout_ms=table.timeout_ms,
        allow_private=table.allow_private,
        headers=tuple(table.headers.items()),
        install=table.name,
    )


def _channel(name: str, table: ChannelTable, install: str) -> ChannelSettings:
    return ChannelSettings(
        name,
        table.kind,
        table.url or URLS.get(table.kind, ""),
        table.routing_key or table.api_key or table.secret,
        _email(table),
        Wanted(Severity(table.min_severity), None if table.kinds is None else frozenset(table.kinds)),
        table.timeout_ms,
        table.allow_private,
        tuple(table.headers.items()),
        install,
    )


def _email(table: ChannelTable) -> EmailSettings | None:
    if table.smtp is None or table.from_ is None:
        return None
    smtp = table.smtp
    return EmailSettings(
        smtp.host, tuple(table.to), table.from_, smtp.port, smtp.security, smtp.username, smtp.password, smtp.ca
    )


def described(alerts: AlertsSettings, written: Mapping[str, Any], shown_url: Any) -> list[str]:
    """A line for each channel, for `longstop check`; `shown_url` makes of a table the URL that may be shown."""
    tables: dict[str, Mapping[str, Any]] = {SHORTHAND: written, **dict(written.get("channels", {}))}
    return [f"alerts        {_described(each, tables.get(each.name, {}), shown_url)}" for each in alerts.channels]


def _described(channel: ChannelSettings, table: Mapping[str, Any], shown_url: Any) -> str:
    if channel.email is not None:
        where = f"{channel.email.host}:{channel.email.port} to {', '.join(channel.email.to)}"
    else:
        where = shown_url(table) if "url" in table else channel.url
    what = "" if channel.wanted.kinds is None else f"  only {', '.join(sorted(channel.wanted.kinds))}"
    least = channel.wanted.min_severity
    return f"{channel.name} ({channel.kind})  {where}{what}{'' if least is Severity.INFO else f'  from {least} on'}"


def unknown_channel(name: str, known: Collection[str]) -> str:
    """What is said of a channel that is not configured."""
    names = ", ".join(sorted(known)) or "(there is none)"
    hint = nearest(name, list(known))
    return f'found no alert channel "{name}"; expected one of: {names}{"; " + hint if hint else ""}'
