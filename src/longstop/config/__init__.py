"""The configuration: `longstop.toml`, read once, validated whole before anything starts, and frozen.

`load` and `parse` return a Config that can be used as it stands, or raise one ConfigurationError that holds
every problem, each with its path, what was found, what was expected and what to do. How single values are
read is in `values`, the tables and keys in `shape`, what keys have to agree on in `rules`, what is hardly meant in
`advice`, the wording in `errors`, the line that a key stands on in `lines`, and what a command that only looks does
with a file that is wrong in `for_store`.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from longstop.config import advice, alerts, console, for_store, operators, rules, shape, store_urls, telemetry, values
from longstop.config.errors import in_document_order, syntax_line
from longstop.config.lines import lines_of, placed
from longstop.config.shape import SOURCE_KINDS, DestinationTable, Document, SourceTable, StoreTable
from longstop.config.store_urls import StoreSettings
from longstop.config.telemetry import TelemetrySettings
from longstop.config.values import Surroundings
from longstop.model.alert_channel import AlertsSettings
from longstop.model.breaker import BreakerPolicy
from longstop.model.errors import ConfigurationError
from longstop.model.rejection import HoldSettings
from longstop.model.retention import RetentionSettings
from longstop.model.retry import RetryPolicy
from longstop.model.routing import SHORT
from longstop.model.settings import (
    AuthSettings,
    ChallengeSettings,
    ConsoleSettings,
    DestinationSettings,
    OperatorsSettings,
    SourceSettings,
    TlsSettings,
    VerifySettings,
)
from longstop.model.spool import SpoolSettings

__all__ = [
    "SOURCE_KINDS",
    "Config",
    "RouteSettings",
    "ServerSettings",
    "StoreSettings",
    "WorkerSettings",
    "describe",
    "load",
    "load_for_store",
    "parse",
    "parse_for_store",
    "placed_in",
    "variables_of",
]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the program listens, and how long it takes to stop."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    drain_ms: int
    """How long a stop lets those in front find out, before nothing more is taken."""
    stop_timeout_ms: int
    """How long a stop waits for attempts under way."""
    trusted_proxies: tuple[str, ...]
    """Networks whose X-Forwarded-For is believed."""

    @property
    def url(self) -> str:
        """What senders post to, without the path: `http://127.0.0.1:8080`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PressureSettings:
    """When to stop accepting, before the disk or the backlog decides."""

    max_backlog: int
    """So many deliveries may wait."""
    min_free_bytes: int
    """So much room must be left on the store's disk."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How deliveries are worked on."""

    lease_ms: int


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Links a source, and a condition, to destinations."""

    source: str
    when: str | None
    """A JMESPath expression that compiles; None: every event."""
    to: tuple[str, ...]
    expire_after_ms: int | None = None
    """How long an event is of use there; None: for ever."""
    order_with: str | None = None
    """Routes of the same name share one order for each key."""

    @property
    def names(self) -> frozenset[str]:
        """Which of SEEN_NAMES stand in the condition."""
        return values.condition_names(self.when)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, validated, with secrets and variables filled in."""

    server: ServerSettings
    store: StoreSettings
    pressure: PressureSettings
    worker: WorkerSettings
    retention: RetentionSettings
    sources: tuple[SourceSettings, ...]
    # Not in the repr: a URL may have been completed with a token from the environment.
    destinations: tuple[DestinationSettings, ...] = field(repr=False)
    """Those of the file, then those that only code knows, by name."""
    routes: tuple[RouteSettings, ...]
    """One for each source: a route from several is several here."""
    targets: Mapping[str, str] = field(repr=False)
    """For people: each destination's URL, variables not filled in and without its query, or its handler."""
    operators: OperatorsSettings = field(default_factory=OperatorsSettings)
    alerts: AlertsSettings = field(default_factory=AlertsSettings)
    described_alerts: tuple[str, ...] = field(default=(), repr=False)
    """For people: a line for each channel, which shows no more than `targets` does."""
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    spool: SpoolSettings | None = None
    """Where events are kept while the store cannot be had; None: nowhere."""
    warnings: tuple[str, ...] = ()
    """What works and is unwise, worded like a problem."""
    passed_over: tuple[str, ...] = ()
    """Problems that a command which only looks goes on without (`load_for_store`). Nothing is served from it then."""


def load(
    path: Path | str,
    *,
    environ: Mapping[str, str],
    handlers: Collection[str] = (),
    more_in_code: bool = False,
    store: str | None = None,
) -> Config:
    """The configuration in a file. Relative paths in it start at its folder.

    `environ` gives the variables; `handlers` names the destinations whose handler is registered in code.
    `more_in_code`: there may be others, as for a command that looks at the store of an application.
    `store`: a URL in the place of the file's.
    Raises ConfigurationError; each problem has the file's name and its line before it.
    """
    path = Path(path)
    text, where = _text_of(path), str(path)
    around = Surroundings(environ, path.parent, frozenset(handlers), more_in_code)
    try:
        made = _read(text, where, around, store)
    except ConfigurationError as error:
        placed_warnings = _placed(error.warnings, text, where)
        raise ConfigurationError(_placed(error.problems, text, where), placed_warnings) from None
    return replace(made, warnings=_placed(made.warnings, text, where))


def load_for_store(
    path: Path | str, *, environ: Mapping[str, str], needed: Collection[str] = for_store.NEEDED
) -> Config:
    """What a command that looks or decides needs of the configuration in a file.

    Where all is well it is the configuration. Otherwise what is wrong is left out, and `passed_over` says it; secrets
    are not read then. Raises ConfigurationError where the store cannot be told, or another of the `needed` tables.
    """
    path = Path(path)
    text, where = _text_of(path), str(path)
    try:
        made = parse_for_store(text, where=where, environ=environ, base=path.parent, needed=needed)
    except ConfigurationError as error:
        raise ConfigurationError(_placed(error.problems, text, where)) from None
    return replace(made, passed_over=_placed(made.passed_over, text, where))


def variables_of(path: Path) -> tuple[str, ...]:
    """The variables that a file takes from the environment, by name. Raises ConfigurationError."""
    try:
        return tuple(sorted(values.variables(tomllib.loads(_text_of(path)))))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError((f"{path}: {error}",)) from None


def placed_in(path: Path, problems: Collection[str]) -> tuple[str, ...]:
    """Problems that were found later than in `load`, with the file's name and their line before them."""
    return _placed(problems, _text_of(path), str(path))


def _placed(problems: Collection[str], text: str, where: str) -> tuple[str, ...]:
    lines = lines_of(text) if problems else {}
    return tuple(placed(each, where, lines) for each in problems)


def parse(
    text: str,
    *,
    where: str,
    environ: Mapping[str, str],
    base: Path,
    handlers: Collection[str] = (),
    more_in_code: bool = False,
    store: str | None = None,
) -> Config:
    """The configuration in a text; `where` names it in messages, `base` is the folder relative paths start at.

    Raises ConfigurationError with every problem, in the order of the text.
    """
    return _read(text, where, Surroundings(environ, base, frozenset(handlers), more_in_code), store)


def parse_for_store(
    text: str,
    *,
    where: str,
    environ: Mapping[str, str],
    base: Path,
    needed: Collection[str] = for_store.NEEDED,
) -> Config:
    """See `load_for_store`."""
    try:
        return _read(text, where, Surroundings(environ, base, more_in_code=True))
    except ConfigurationError as error:
        refused = error
    try:
        document: dict[str, Any] | None = _toml(text, where)
    except ConfigurationError:
        document = for_store.only_store(text) if needed == for_store.NEEDED else None
    if document is None:
        raise refused
    around = Surroundings(environ, base, more_in_code=True, secrets_read=False)
    shaped, written = for_store.sound(document, around, needed)
    return replace(_config(shaped, written, around, ()), passed_over=refused.problems)


def _read(text: str, where: str, around: Surroundings, store: str | None = None) -> Config:
    document = _toml(text, where)
    if store is not None:
        document["store"] = {**document.get("store", {}), "url": store}
    shaped, faults = shape.read(document, around)
    problems = [*faults, *rules.errors(document, around)]
    if problems or shaped is None:
        advised = in_document_order(advice.warnings(document, around), document)
        raise ConfigurationError(in_document_order(problems, document), advised)
    warnings = in_document_order([*rules.warnings(document, around), *advice.warnings(document, around)], document)
    return _config(shaped, document, around, warnings)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        said = (
            "there is no such file; expected a configuration; `longstop init` writes one, --config FILE names another"
        )
    except UnicodeDecodeError as error:
        said = f"found bytes that are not UTF-8 at byte {error.start + 1}; expected UTF-8 text; save it as UTF-8"
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        said = f"the file cannot be read ({reason}); expected a configuration; mend its permissions, or name another"
    raise ConfigurationError((f"{path}: {said}",))


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = syntax_line(error, text, where)
    except (ValueError, RecursionError):
        said = f"{where}: found a number too long or lists too deep to read; expected a configuration; remove them"
    raise ConfigurationError((said,))


# -- from the validated shape to settings -------------------------------------------------------


def _config(shaped: Document, document: Mapping[str, Any], around: Surroundings, warnings: tuple[str, ...]) -> Config:
    declared = [_destination(name, table) for name, table in shaped.destinations.items()]
    told = alerts.settings(shaped.alerts, shaped.store.min_free_bytes)
    store = store_urls.store(shaped.store.url, around)
    in_code = [DestinationSettings(name) for name in sorted(around.handlers - set(shaped.destinations))]
    return Config(
        server=ServerSettings(**{**dict(shaped.server), "trusted_proxies": tuple(shaped.server.trusted_proxies)}),
        store=store,
        pressure=PressureSettings(shaped.store.max_backlog, shaped.store.min_free_bytes),
        worker=WorkerSettings(**dict(shaped.worker)),
        retention=RetentionSettings(**dict(shaped.retention)),
        sources=tuple(_within(store, _source(name, table)) for name, table in shaped.sources.items()),
        destinations=(*declared, *in_code),
        routes=tuple(
            RouteSettings(source, each.when, tuple(each.to), each.expire_after_ms, each.order_with)
            for each in shaped.routes
            for source in each.sources(shaped.sources)
        ),
        operators=operators.settings(shaped.operators),
        console=console.settings(shaped.console),
        spool=_spool(shaped.store),
        warnings=warnings,
        alerts=told,
        telemetry=telemetry.settings(shaped.telemetry, around.environ),
        described_alerts=tuple(alerts.described(told, document.get("alerts", {}), _target)),
        targets=_targets(document.get("destinations", {}), (*declared, *in_code)),
    )


def _spool(table: StoreTable) -> SpoolSettings | None:
    if table.spool is None:
        return None
    limits = (table.spool_after_ms, table.spool_max_events, table.spool_max_bytes, table.min_free_bytes)
    return SpoolSettings(table.spool, *limits)


def _within(store: StoreSettings, source: SourceSettings) -> SourceSettings:
    """A source that takes no larger bodies than the store."""
    most = store.body_bytes_max
    return source if most is None or source.body_bytes_max <= most else replace(source, max_body_bytes=most)


def _source(name: str, table: SourceTable) -> SourceSettings:
    given = dict(table)
    given["secrets"] = tuple(table.secrets)
    given["verify"] = VerifySettings(**dict(table.verify)) if table.verify else None
    given["challenge"] = ChallengeSettings(**dict(table.challenge)) if table.challenge else None
    given["hold"] = HoldSettings(**dict(table.hold))
    for key in ("required_headers", "content_types", "allow"):
        given[key] = tuple(given[key])
    return SourceSettings(name=name, **given)


def _destination(name: str, table: DestinationTable) -> DestinationSettings:
    given = dict(table)
    given["headers"] = tuple(table.headers.items())
    given["env"] = tuple(table.env)
    given["auth"] = AuthSettings(**{**dict(table.auth), "secrets": tuple(table.auth.secrets)}) if table.auth else None
    given["tls"] = TlsSettings(**dict(table.tls)) if table.tls else None
    retry = dict(table.retry)
    given["retried_statuses"] = frozenset(retry.pop("statuses"))
    given["retry"] = RetryPolicy(**retry, on_dead=given.pop("on_dead"))
    given["breaker"] = BreakerPolicy(**dict(table.breaker))
    return DestinationSettings(name=name, **given)


def _targets(written: Mapping[str, Any], destinations: tuple[DestinationSettings, ...]) -> Mapping[str, str]:
    return MappingProxyType({each.name: _target(written.get(each.name, {})) for each in destinations})


def _target(written: Mapping[str, Any]) -> str:
    if "url" in written:
        url, query, _ = str(written["url"]).partition("?")
        return f"{url}?…" if query else url
    return str(written.get("handler", "a handler registered in code"))


# -- for people ---------------------------------------------------------------------------------


def describe(config: Config) -> str:
    """The configuration in a few lines, for `longstop check`. It shows no secret."""
    lines = [f"store         {config.store.kind}  {config.store.place}"]
    if config.spool is not None:
        lines.append(f"spool         {config.spool.path}, where the store takes longer than {config.spool.after_ms} ms")
    for source in config.sources:
        lines.append(f"source        {source.name} ({source.kind})  POST {config.server.url}/webhooks/{source.name}")
        lines += _routes_of(config, source.name)
    lines += [_destination_line(config, destination) for destination in config.destinations]
    lines += config.described_alerts
    lines += [f"warning       {warning}" for warning in config.warnings]
    return "\n".join(lines)


def _routes_of(config: Config, source: str) -> list[str]:
    lines = [
        f"  route       → {', '.join(route.to)}"
        + (f"  when {route.when}{_seen(route)}" if route.when else "")
        + (f"  in one order with {route.order_with}" if route.order_with else "")
        + (f"  expires after {route.expire_after_ms / 1000:g} s" if route.expire_after_ms is not None else "")
        for route in config.routes
        if route.source == source
    ]
    return lines or ["  no route    its events are kept as unrouted"]


def _seen(route: RouteSettings) -> str:
    """What names in a condition mean that may mean one thing or another."""
    names = [name for name in SHORT if name in route.names]
    return f"  ({', '.join(names)}: the body's, else the event's)" if names else ""


def _destination_line(config: Config, destination: DestinationSettings) -> str:
    retry = destination.retry
    most = "" if retry.attempts is None else f" {retry.attempts} time{'s' if retry.attempts > 1 else ''} at most"
    times = f"tried{most} for {_span(retry.max_age_ms)}, {destination.timeout_ms / 1000:g} s an attempt"
    return f"destination   {destination.name}  {config.targets[destination.name]}  {times}"


def _span(ms: int) -> str:
    """A duration in its largest whole unit: `3 d`, `90 s`."""
    units = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000))
    return next((f"{ms // size} {name}" for name, size in units if ms % size == 0), f"{ms / 1000:g} s")
