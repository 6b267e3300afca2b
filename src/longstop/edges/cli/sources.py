"""Sources: which there are, what is known of one, and what would become of a captured request."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.captured_request import captured
from longstop.edges.cli.errors import DONE, FAILED, CommandError
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import parse_time
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.rows import text_or_base64
from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers, scheme_of

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.operating.dry_run import DryRun

Row = dict[str, Any]
Name = Annotated[str, Parameter(name="NAME", help="A source of the configuration.")]


def list_sources(
    *, limit: Limit = 50, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected
) -> int:
    """List the sources of the configuration."""
    settings = program.load(config, more_in_code=True)
    shown = [_row(settings, each) for each in settings.sources[: checked_limit(limit)]]
    if json:
        for row in shown:
            output.json_line(row)
    else:
        cells = [(row["name"], row["kind"], row["verified"], row["path"], row["to"] or "unrouted") for row in shown]
        output.table(("source", "kind", "verified by", "path", "to"), cells)
    return DONE


def show_source(name: Name, /, *, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Show a source, whole, without its secrets."""
    settings = program.load(config, more_in_code=True)
    source = named(settings, name)
    row = {**_row(settings, source), **_details(source)}
    if json:
        output.json_line(row)
        return DONE
    width = max(map(len, row))
    for key, value in row.items():
        output.line(f"{key:{width}}  {_told(value)}")
    return DONE


def try_request(
    name: Name,
    file: Annotated[
        Path,
        Parameter(name="FILE", help="A raw HTTP request, or its body; - for stdin.", allow_leading_hyphen=True),
    ],
    /,
    *,
    header: Annotated[tuple[str, ...], Parameter(help='A header of it: "Name: value". Again for more.')] = (),
    at: Annotated[str | None, Parameter(help="When it came, to judge signed times by; else now.")] = None,
    client: Annotated[str | None, Parameter(help="The address it came from, for sources that allow only some.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Say what would become of a captured request, and why. Nothing is kept and nothing is delivered."""
    from dataclasses import replace

    from longstop.operating.dry_run import Verdict, dry_run

    settings = program.load(config, more_in_code=True)
    source = named(settings, name)
    refuse_option(file)
    request = replace(captured(read_bytes(file), name, list(header)), client=client)
    now_ms = program.clock.now_ms()
    at_ms = parse_time("--at", at, now_ms)
    sources, router = program.built(settings)
    found = dry_run(source, sources[name], router, request, now_ms if at_ms is None else at_ms)
    _tell(found, json)
    return DONE if found.verdict in (Verdict.ACCEPTED, Verdict.ANSWERED) else FAILED


def named(config: "Config", name: str) -> SourceSettings:
    """The source of this name. Raises CommandError."""
    for each in config.sources:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in config.sources)
    raise CommandError(f'found no source "{name}" in the configuration; expected one of: {known}')


def _row(config: "Config", source: SourceSettings) -> Row:
    to = dict.fromkeys(name for route in config.routes if route.source == source.name for name in route.to)
    return {
        "name": source.name,
        "kind": source.kind,
        "verified": _verified_by(source),
        "path": f"/webhooks/{source.name}",
        "to": list(to),
    }


def _verified_by(source: SourceSettings) -> str:
    scheme = scheme_of(source)
    return "its own scheme" if scheme is None else scheme.scheme


def _details(source: SourceSettings) -> Row:
    return {
        "secrets": len(source.secrets),
        "headers": list(proof_headers(source)),
        "required_headers": list(source.required_headers),
        "dedup": source.dedup,
        "type": source.type,
        "key": source.key,
        "dedup_window_ms": source.dedup_window_ms,
        "max_body_bytes": source.max_body_bytes,
        "tolerance_ms": source.tolerance_ms,
        "content_types": list(source.content_types),
        "allow": list(source.allow),
        "rate_per_s": source.rate_per_s,
        "public_url": source.public_url,
    }


def _told(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _tell(found: "DryRun", json: bool) -> None:
    row = {
        "verdict": found.verdict.value,
        "status": found.status,
        "type": found.type,
        "key": found.key,
        "dedup": text_or_base64(found.dedup),
        "occurred_at": output.rfc3339(found.occurred_at_ms),
        "destinations": list(found.destinations),
        "problems": list(found.problems),
    }
    if json:
        output.json_line(row)
        return
    output.line(f"{found.verdict} (HTTP {found.status})")
    for problem in found.problems:
        output.line(f"  {problem}")
    if found.verdict == "accepted":
        output.line(f"  type   {found.type or '-'}")
        output.line(f"  key    {found.key or '-'}")
        output.line(f"  dedup  {row['dedup'] or '- (never a duplicate)'}")
        if found.occurred_at_ms is not None:
            output.line(f"  time   {row['occurred_at']}")
        output.line(f"  to     {', '.join(found.destinations) or '- (kept as unrouted)'}")
