"""The shape of `longstop.toml`: its tables and keys, each with the words that say what belongs there.

pydantic checks every key by itself and collects all faults; what concerns several keys at once is in
`rules`. A field's `description` completes the sentence "expected …", and `item` does so for the
members of a list or a table.
"""

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from longstop.config import values
from longstop.config.alerts import AlertsTable
from longstop.config.console import ConsoleTable
from longstop.config.errors import Fault, Loc, Problem, listed, nearest, shown
from longstop.config.fields import (
    DURATION,
    REFERENCE,
    ArchivePlace,
    BearerToken,
    Condition,
    Credential,
    DiskSize,
    Duration,
    FilePath,
    Handler,
    HeaderName,
    HeaderValue,
    Host,
    Network,
    OrderName,
    PartName,
    Port,
    PositiveDuration,
    Rate,
    Secret,
    Selector,
    SignedContent,
    Size,
    SpoolAfter,
    SpoolPath,
    StoreUrl,
    Table,
    Url,
    UserName,
    VariableName,
)
from longstop.config.operators import OperatorsTable
from longstop.config.telemetry import TelemetryTable
from longstop.config.values import Surroundings
from longstop.model.breaker import BreakerPolicy
from longstop.model.rejection import HoldSettings
from longstop.model.retention import RetentionSettings
from longstop.model.retry import RETRIED_STATUSES, RetryPolicy
from longstop.model.settings import (
    DEDUP_WINDOW_MS,
    AuthScheme,
    DestinationSettings,
    Scheme,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the configuration has to know of a kind of source."""

    own_scheme: bool
    """It needs no `verify`: its sender has a scheme of its own, or, as the tutorials' sender, none at all."""
    needs_secrets: bool
    """That scheme of its own needs secrets."""
    own_key: bool = True
    """It knows where the key of its sender's events stands."""


SOURCE_KINDS: Mapping[str, Kind] = types.MappingProxyType(
    {
        "genesys-open-messaging": Kind(own_scheme=True, needs_secrets=True),
        "genesys-data-action": Kind(own_scheme=True, needs_secrets=False),
        "genesys-eventbridge": Kind(own_scheme=False, needs_secrets=False),
        "genesys-webhook": Kind(own_scheme=True, needs_secrets=False),
        "cxone-byoc": Kind(own_scheme=True, needs_secrets=True),
        "cxone-dfo": Kind(own_scheme=True, needs_secrets=True),
        "cxone-expert": Kind(own_scheme=True, needs_secrets=True, own_key=False),
        "cxone-studio": Kind(own_scheme=False, needs_secrets=False),
        "github": Kind(own_scheme=True, needs_secrets=True),
        "shopify": Kind(own_scheme=True, needs_secrets=True),
        "slack": Kind(own_scheme=True, needs_secrets=True),
        "standard-webhooks": Kind(own_scheme=True, needs_secrets=True, own_key=False),
        "stripe": Kind(own_scheme=True, needs_secrets=True),
        "twilio": Kind(own_scheme=True, needs_secrets=True),
        "generic": Kind(own_scheme=False, needs_secrets=False, own_key=False),
    }
)
"""Every kind of source there is."""

ALL = "*"
"""In the place of a source's name: every one of them."""
_PORT = "a port from 1 to 65535"
_HIDDEN = {
    *("secrets", "headers", "url", "password", "token", "token_url", "client_secret"),
    *("routing_key", "api_key", "secret"),
}
"""Keys whose values are never shown."""
_RETRY = RetryPolicy()
_BREAKER = BreakerPolicy()
_HOLD = HoldSettings()
_DESTINATION = DestinationSettings("")
_RETENTION = RetentionSettings()

KindName = Annotated[str, AfterValidator(partial(values.choice, names=SOURCE_KINDS, what="one of the known kinds"))]


class ServerTable(Table):
    """`[server]`"""

    host: Host = Field(default="127.0.0.1", description="the name or address to listen on")
    port: Port = Field(default=8080, description=_PORT)
    admin_host: Host = Field(default="127.0.0.1", description="the name or address to listen on")
    admin_port: Port = Field(default=8081, description=_PORT)
    trusted_proxies: list[Network] = Field(
        default=[],
        description='a list of networks, as ["10.0.0.0/8"]',
        json_schema_extra={"item": "a network or an address"},
    )
    drain_ms: Duration = Field(default=0, alias="drain", description=DURATION)
    stop_timeout_ms: Duration = Field(default=20_000, alias="stop_timeout", description=DURATION)


class StoreTable(Table):
    """`[store]`"""

    url: StoreUrl = Field(default="sqlite:///longstop.db", description="text such as sqlite:///longstop.db")
    max_backlog: int = Field(default=1_000_000, ge=1, description="a whole number of deliveries")
    min_free_bytes: DiskSize = Field(
        default=100_000_000, alias="min_free", description='a size such as "100MB" or "1GiB"'
    )
    spool: SpoolPath | None = Field(default=None, description="text such as sqlite:///spool.db")
    spool_after_ms: SpoolAfter = Field(default=2_000, alias="spool_after", description=DURATION)
    spool_max_events: int = Field(default=1_000_000, ge=1, description="a whole number of events")
    spool_max_bytes: DiskSize = Field(
        default=1_000_000_000, alias="spool_max_size", description='a size such as "100MB" or "1GiB"'
    )


class WorkerTable(Table):
    """`[worker]`"""

    lease_ms: PositiveDuration = Field(default=15_000, alias="lease", description=DURATION)


class RetentionTable(Table):
    """`[retention]`"""

    delivered_ms: PositiveDuration = Field(default=_RETENTION.delivered_ms, alias="delivered", description=DURATION)
    dead_ms: PositiveDuration = Field(default=_RETENTION.dead_ms, alias="dead", description=DURATION)
    discarded_ms: PositiveDuration = Field(default=_RETENTION.discarded_ms, alias="discarded", description=DURATION)
    unrouted_ms: PositiveDuration = Field(default=_RETENTION.unrouted_ms, alias="unrouted", description=DURATION)
    rejections_ms: PositiveDuration = Field(default=_RETENTION.rejections_ms, alias="rejections", description=DURATION)
    attempts_ms: PositiveDuration | None = Field(default=None, alias="attempts", description=DURATION)
    audit_ms: PositiveDuration = Field(default=_RETENTION.audit_ms, alias="audit", description=DURATION)
    archive: ArchivePlace | None = Field(default=None, description=values.ARCHIVE)


class VerifyTable(Table):
    """`verify = { … }` of a source."""

    scheme: Scheme = Field(description=f"one of {listed(get_args(Scheme))}")
    header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    encoding: Literal["hex", "base64", "base64url"] = Field(default="hex", description='"hex", "base64" or "base64url"')
    prefix: str = Field(default="", description='what stands before the signature, as "sha256="')
    username: str | None = Field(default=None, description="the user name, without a colon", pattern="^[^:]+$")
    content: SignedContent = Field(
        default="{body}",
        description='text with {body}, and {timestamp} and {id} if they are signed: "{timestamp}.{body}"',
    )
    timestamp_header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    id_header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    signature_part: PartName | None = Field(default=None, description='a name such as "v1", for t=…,v1=…')
    timestamp_part: PartName | None = Field(default=None, description='a name such as "t", for t=…,v1=…')


class ChallengeTable(Table):
    """`challenge = { … }` of a source."""

    query: str | None = Field(default=None, description="the name of a query parameter")
    field: str | None = Field(default=None, description="the name of a member of the JSON body")


class HoldTable(Table):
    """`hold = { … }` of a source."""

    max_requests: int = Field(
        default=_HOLD.max_requests, ge=1, le=1_000_000, description="a whole number from 1 to 1000000"
    )
    max_bytes: Size = Field(default=_HOLD.max_bytes, description='a size such as "50MB" or "512KiB"')
    max_age_ms: PositiveDuration = Field(default=_HOLD.max_age_ms, alias="max_age", description=DURATION)


class SourceTable(Table):
    """`[sources.NAME]`"""

    kind: KindName = Field(description=f"one of the known kinds: {listed(SOURCE_KINDS)}")
    secrets: list[Secret] = Field(
        default=[], repr=False, description=f"a list of {REFERENCE}", json_schema_extra={"item": REFERENCE}
    )
    verify: VerifyTable | None = Field(default=None, description='a table such as { scheme = "bearer" }')
    dedup: Selector | None = Field(default=None, description=values.SELECTOR)
    type: Selector | None = Field(default=None, description=values.SELECTOR)
    key: Selector | None = Field(default=None, description=values.SELECTOR)
    dedup_window_ms: PositiveDuration = Field(default=DEDUP_WINDOW_MS, alias="dedup_window", description=DURATION)
    max_body_bytes: Size | None = Field(default=None, alias="max_body", description='a size such as "10MB" or "512KiB"')
    tolerance_ms: PositiveDuration = Field(default=300_000, alias="tolerance", description=DURATION)
    required_headers: list[HeaderName] = Field(
        default=[],
        description="a list of names of HTTP headers",
        json_schema_extra={"item": "the name of an HTTP header"},
    )
    content_types: list[str] = Field(
        default=[],
        description='a list of media types, as ["application/json"]',
        json_schema_extra={"item": "a media type"},
    )
    allow: list[Network] = Field(
        default=[],
        description='a list of networks, as ["203.0.113.0/24"]',
        json_schema_extra={"item": "a network or an address"},
    )
    rate_per_s: Rate | None = Field(default=None, alias="rate", description='a rate such as "100/s" or "600/m"')
    challenge: ChallengeTable | None = Field(default=None, description='a table such as { query = "hub.challenge" }')
    client_id: str | None = Field(default=None, description="text: the client id the platform was given")
    public_url: str | None = Field(default=None, description="text: the https:// URL that the sender posts to")
    on_unverified: Literal["refuse", "hold"] = Field(default="refuse", description='"refuse" or "hold"')
    hold: HoldTable = Field(default_factory=HoldTable, description="a table such as { max_requests = 5000 }")
    keep_rejected_bodies: bool = Field(default=False, description="true or false")


class RetryTable(Table):
    """`retry = { … }` of a destination."""

    attempts: int | None = Field(default=_RETRY.attempts, ge=1, le=1_000, description="a whole number from 1 to 1000")
    first_ms: PositiveDuration = Field(default=_RETRY.first_ms, alias="first", description=DURATION)
    factor: float = Field(
        default=_RETRY.factor, ge=1, le=100, allow_inf_nan=False, description="a number from 1 to 100"
    )
    cap_ms: PositiveDuration = Field(default=_RETRY.cap_ms, alias="cap", description=DURATION)
    jitter: Literal["full", "none"] = Field(default=_RETRY.jitter, description='"full" or "none"')
    max_age_ms: PositiveDuration = Field(default=_RETRY.max_age_ms, alias="max_age", description=DURATION)
    retry_after_cap_ms: Duration = Field(
        default=_RETRY.retry_after_cap_ms, alias="retry_after_cap", description=DURATION
    )
    crashes: int = Field(default=_RETRY.crashes, ge=1, le=1_000, description="a whole number from 1 to 1000")
    statuses: list[Annotated[int, Field(ge=400, le=599)]] = Field(
        default=sorted(RETRIED_STATUSES),
        description="a list of HTTP statuses such as [408, 425, 429]",
        json_schema_extra={"item": "an HTTP status from 400 to 599"},
    )


class BreakerTable(Table):
    """`breaker = { … }` of a destination."""

    enabled: bool = Field(default=_BREAKER.enabled, description="true or false")
    failures: int = Field(default=_BREAKER.failures, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    rate: float = Field(default=_BREAKER.rate, gt=0, le=1, description="a number over 0 and up to 1, as 0.75")
    calls: int = Field(default=_BREAKER.calls, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    window_ms: PositiveDuration = Field(default=_BREAKER.window_ms, alias="window", description=DURATION)
    probe_ms: PositiveDuration = Field(default=_BREAKER.probe_ms, alias="probe", description=DURATION)
    probe_cap_ms: PositiveDuration = Field(default=_BREAKER.probe_cap_ms, alias="probe_cap", description=DURATION)
    probes: int = Field(default=_BREAKER.probes, ge=1, le=1_000, description="a whole number from 1 to 1000")


class AuthTable(Table):
    """`auth = { … }` of a destination."""

    scheme: AuthScheme = Field(description=f"one of {listed(get_args(AuthScheme))}")
    username: UserName | None = Field(default=None, description="the user name, without a colon")
    password: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    token: BearerToken | None = Field(default=None, repr=False, description=REFERENCE)
    secrets: list[Credential] = Field(
        default=[], repr=False, description=f"a list of {REFERENCE}", json_schema_extra={"item": REFERENCE}
    )
    header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    encoding: Literal["hex", "base64"] = Field(default="hex", description='"hex" or "base64"')
    prefix: HeaderValue = Field(default="", description='what stands before the signature, as "sha256="')
    content: SignedContent = Field(
        default="{body}",
        description='text with {body}, and {timestamp} and {id} if they are signed: "{timestamp}.{body}"',
    )
    timestamp_header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    id_header: HeaderName | None = Field(default=None, description="the name of an HTTP header")
    token_url: Url | None = Field(default=None, repr=False, description="text: an http:// or https:// URL")
    client_id: Credential | None = Field(default=None, description="text: the client id")
    client_secret: Credential | None = Field(default=None, repr=False, description=REFERENCE)
    credentials: Literal["basic", "form"] = Field(default="basic", description='"basic" or "form"')
    scope: str | None = Field(default=None, description="text: scopes with spaces between them")


class TlsTable(Table):
    """`tls = { … }` of a destination."""

    ca: FilePath | None = Field(default=None, description="the path of a file with certificates in PEM")
    cert: FilePath | None = Field(default=None, description="the path of a file with certificates in PEM")
    key: FilePath | None = Field(default=None, description="the path of a file with a private key in PEM")


class DestinationTable(Table):
    """`[destinations.NAME]`"""

    url: Url | None = Field(default=None, repr=False, description="text: an http:// or https:// URL")
    handler: Handler | None = Field(default=None, description="package.module:function")
    isolation: Literal["none", "process"] = Field(default=_DESTINATION.isolation, description='"none" or "process"')
    env: list[VariableName] = Field(
        default=[],
        description='a list of names of environment variables, as ["CRM_TOKEN"]',
        json_schema_extra={"item": "the name of an environment variable"},
    )
    transaction: bool = Field(default=_DESTINATION.transaction, description="true or false")
    allow_private: bool = Field(default=False, description="true or false")
    timeout_ms: PositiveDuration = Field(default=_DESTINATION.timeout_ms, alias="timeout", description=DURATION)
    concurrency: int = Field(
        default=_DESTINATION.concurrency, ge=1, le=1_000, description="a whole number from 1 to 1000"
    )
    adaptive: bool = Field(default=_DESTINATION.adaptive, description="true or false")
    rate_per_s: Rate | None = Field(default=None, alias="rate", description='a rate such as "50/s" or "600/m"')
    ordered: bool = Field(default=False, description="true or false")
    on_dead: Literal["hold", "skip"] = Field(default="hold", description='"hold" or "skip"')
    headers: dict[str, HeaderValue] = Field(
        default={},
        repr=False,
        description="a table of names and texts",
        json_schema_extra={"item": "text"},
    )
    auth: AuthTable | None = Field(default=None, description='a table such as { scheme = "bearer", token = … }')
    tls: TlsTable | None = Field(default=None, description='a table such as { ca = "ca.pem" }')
    retry: RetryTable = Field(default_factory=RetryTable, description="a table such as { attempts = 8 }")
    breaker: BreakerTable = Field(default_factory=BreakerTable, description="a table such as { failures = 20 }")


class RouteTable(Table):
    """`[[routes]]`"""

    from_: list[str] = Field(
        alias="from",
        min_length=1,
        description='the name of a source, a list of names, or "*" for all of them',
        json_schema_extra={"item": "the name of a source"},
    )
    when: Condition | None = Field(default=None, description="a JMESPath expression")
    to: list[str] = Field(
        min_length=1,
        description='a list of names of destinations, as ["crm"]',
        json_schema_extra={"item": "the name of a destination"},
    )
    expire_after_ms: PositiveDuration | None = Field(default=None, alias="expire_after", description=DURATION)
    order_with: OrderName | None = Field(default=None, description=f"a name: {values.NAME}")

    @field_validator("from_", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def sources(self, configured: Iterable[str]) -> list[str]:
        """The names of the sources, of those that are configured."""
        return list(configured) if self.from_ == [ALL] else self.from_


class Document(Table):
    """The whole file."""

    server: ServerTable = Field(default_factory=ServerTable, description="a table: [server]")
    store: StoreTable = Field(default_factory=StoreTable, description="a table: [store]")
    worker: WorkerTable = Field(default_factory=WorkerTable, description="a table: [worker]")
    retention: RetentionTable = Field(default_factory=RetentionTable, description="a table: [retention]")
    alerts: AlertsTable | None = Field(default=None, description="a table: [alerts]")
    operators: OperatorsTable = Field(default_factory=OperatorsTable, description="a table: [operators]")
    telemetry: TelemetryTable = Field(default_factory=TelemetryTable, description="a table: [telemetry]")
    console: ConsoleTable = Field(default_factory=ConsoleTable, description="a table: [console]")
    sources: dict[str, SourceTable] = Field(
        default={}, description="tables: [sources.NAME]", json_schema_extra={"item": "a table: [sources.NAME]"}
    )
    destinations: dict[str, DestinationTable] = Field(
        default={},
        description="tables: [destinations.NAME]",
        json_schema_extra={"item": "a table: [destinations.NAME]"},
    )
    routes: list[RouteTable] = Field(
        default=[], description="tables: [[routes]]", json_schema_extra={"item": "a table: [[routes]]"}
    )


def read(document: Mapping[str, Any], around: Surroundings) -> tuple[Document | None, list[Problem]]:
    """The document in its shape, or None and every fault of a single key."""
    try:
        return Document.model_validate(document, context=around), []
    except ValidationError as error:
        return None, [_problem(details) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails) -> Problem:
    where = details["loc"]
    if details["type"] == "extra_forbidden":
        return _unknown_key(where)
    field, member = _field_at(where)
    expected = _expected(field, member)
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, Fault):
        return Problem(where, cause.found, cause.expected or expected, cause.hint)
    if details["type"] == "missing":
        return Problem(where, "found nothing", expected, f"add {where[-1]} = …")
    found = details["input"]
    # Text where a table or a list belongs may be a secret written the short way, as in verify = "…".
    secret = details["type"] in ("model_type", "dict_type", "list_type") or not _HIDDEN.isdisjoint(where)
    hint = nearest(found, _choices(field)) if isinstance(found, str) and not secret else ""
    return Problem(where, f"found {shown(found, secret=secret)}", expected, hint)


def _expected(field: FieldInfo, member: bool) -> str:
    extra = field.json_schema_extra
    return str(extra["item"] if member and isinstance(extra, dict) else field.description)


def _unknown_key(where: Loc) -> Problem:
    known = _table_at(where[:-1]).by_key()
    hint = nearest(str(where[-1]), known) or "remove it"
    return Problem(where, "found an unknown key", f"one of {listed(known)}", hint)


def _step(node: Any, part: str | int) -> tuple[Any, FieldInfo | None]:
    """One step into the shape: the annotation below `part`, and the field where `part` is a table's key."""
    if isinstance(node, type) and issubclass(node, Table):
        field = node.by_key()[str(part)]
        return _bare(field.annotation), field
    return _bare(get_args(node)[-1]), None


def _bare(annotation: Any) -> Any:
    """Without `| None` and without Annotated."""
    while get_origin(annotation) in (types.UnionType, Union, Annotated):
        annotation = get_args(annotation)[0]
    return annotation


def _field_at(where: Loc) -> tuple[FieldInfo, bool]:
    """The field that a place belongs to, and whether the place is a member of it."""
    node: Any = Document
    last, member = Document.by_key()[str(where[0])], False
    for part in where:
        node, field = _step(node, part)
        last, member = (field, False) if field else (last, True)
    return last, member


def _table_at(where: Loc) -> type[Table]:
    node: Any = Document
    for part in where:
        node, _ = _step(node, part)
    table: type[Table] = node
    return table


def _choices(field: FieldInfo) -> tuple[str, ...]:
    annotation = _bare(field.annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()
