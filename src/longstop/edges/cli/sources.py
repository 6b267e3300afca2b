"""Sources: which there are, what is known of one, and what would become of a captured request."""

import json as json_
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import output, tables
from longstop.edges.cli.captured_request import captured
from longstop.edges.cli.errors import DONE, FAILED, CommandError, UsageError, say
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import parse_time
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Program, for_looking
from longstop.edges.cli.tables import Column
from longstop.edges.rows.ids import short
from longstop.edges.rows.sources import dry_run_row, source_details, source_refused_row, source_row
from longstop.edges.rows.values import Row
from longstop.model.errors import StoreError
from longstop.model.exchange import Request
from longstop.model.listing import Page
from longstop.model.rejection import SAMPLES_KEPT, UNKNOWN, HeldCount, Rejection, RejectionCount
from longstop.model.settings import SourceSettings

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.operating.dry_run import DryRun, TriedRoute

COLUMNS = (
    Column("source"),
    Column("kind", least=8),
    Column("verified by", least=8),
    Column("path"),
    Column("to", least=8),
    Column("refused", least=8),
)
Name = Annotated[str, Parameter(name="NAME", help="A source of the configuration.")]


def list_sources(
    *, limit: Limit = 50, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected
) -> int:
    """List the sources of the configuration."""
    settings = for_looking(program, config)
    shown = settings.sources[: checked_limit(limit)]
    counts, held = refusals(program, settings)
    rows = [{**source_row(settings, each), **source_refused_row(each.name, counts, held)} for each in shown]
    if json:
        for row in rows:
            output.json_line(row)
    else:
        cells = [
            (
                row["name"],
                row["kind"],
                row["verified"],
                row["path"],
                ", ".join(row["to"]) or "unrouted",
                _refused_cell(row),
            )
            for row in rows
        ]
        tables.write(COLUMNS, cells)
    return DONE


Refusals = tuple[Sequence[RejectionCount], Sequence[HeldCount]]


def refusals(program: Program, config: "Config") -> Refusals:
    """What the store counts of refused and of held requests; nothing where there is no store, or it cannot tell."""
    found: Refusals = ((), ())

    async def ask() -> int:
        nonlocal found
        async with program.opened(config) as parts:
            found = await parts.store.rejection_counts(), await parts.store.held_counts()
        return DONE

    if program.has_store(config):
        try:
            program.run(ask())
        except StoreError as error:
            say([f"longstop: what was refused is not known: {error}"])
    return found


def _refused_cell(row: Row) -> str:
    told = [f"{number} {reason}" for reason, number in row["refused"].items()]
    if row["held"]:
        told.append(f"{row['held']} held")
    return ", ".join(told)


def show_source(name: Name, /, *, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Show a source, whole, without its secrets."""
    settings = for_looking(program, config)
    source = named(settings, name)
    row = {**source_row(settings, source), **source_details(source)}
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
        Path | None,
        Parameter(name="FILE", help="A raw HTTP request, or its body; - for stdin.", allow_leading_hyphen=True),
    ] = None,
    /,
    *,
    rejection: Annotated[str | None, Parameter(help="One that was refused, by its id, in place of FILE.")] = None,
    header: Annotated[tuple[str, ...], Parameter(help='A header of it: "Name: value". Again for more.')] = (),
    at: Annotated[str | None, Parameter(help="When it came, to judge signed times by; else now.")] = None,
    client: Annotated[str | None, Parameter(help="The address it came from, for sources that allow only some.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Say what would become of a captured request, and why. Nothing is kept and nothing is delivered."""
    from longstop.operating.dry_run import Verdict, dry_run, dry_run_of_rejection

    settings = program.load(config, more_in_code=True)
    source = named(settings, name)
    now_ms = program.clock.now_ms()
    at_ms = parse_time("--at", at, now_ms)
    sources, router = program.built(settings)
    if rejection is not None:
        if file is not None or header or client:
            raise UsageError("--rejection: found FILE, --header or --client beside it; expected one or the other")
        sample = find_sample(program, settings, name, rejection.strip().lower())
        found = dry_run_of_rejection(source, sources[name], router, sample, sample.at_ms if at_ms is None else at_ms)
    else:
        request = replace(_captured(file, name, header), client=client)
        found = dry_run(source, sources[name], router, request, now_ms if at_ms is None else at_ms)
    _tell(found, json)
    return DONE if found.verdict in (Verdict.ACCEPTED, Verdict.ANSWERED) else FAILED


def _captured(file: Path | None, name: str, header: tuple[str, ...]) -> Request:
    if file is None:
        raise UsageError("found neither FILE nor --rejection; expected a captured request, or the id of a refused one")
    refuse_option(file)
    return captured(read_bytes(file), name, list(header))


def find_sample(program: Program, config: "Config", name: str, id_: str) -> Rejection:
    """The sample of this id, or that ends with it, of this source or of the unknown names. Raises CommandError."""
    found: list[Rejection] = []

    async def ask() -> int:
        async with program.opened(config) as parts:
            for source in (name, UNKNOWN):
                page = await parts.store.rejections(source, Page(SAMPLES_KEPT))
                found.extend(each for each in page.rows if id_ in (each.id, short(each.id)))
        return DONE

    if program.has_store(config):
        program.run(ask())
    if not found:
        raise CommandError(
            f"found no refused request {id_} of {name}, nor of an unknown name; the last {SAMPLES_KEPT} of each source "
            f"are kept; `longstop sources rejections {name}` lists them"
        )
    return found[0]


def named(config: "Config", name: str) -> SourceSettings:
    """The source of this name. Raises CommandError."""
    for each in config.sources:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in config.sources)
    raise CommandError(f'found no source "{name}" in the configuration; expected one of: {known}')


def _told(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _tell(found: "DryRun", json: bool) -> None:
    row = dry_run_row(found)
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
        for route in found.routes:
            if route.when:
                output.line(f"  when   {route.when}  → {', '.join(route.to)}: {_matched(route)}")


def _matched(route: "TriedRoute") -> str:
    """Whether a condition holds, and what it saw where a name may stand for one thing or another."""
    seen = [
        f"{name} is {json_.dumps(value)}, {'of the body' if name in route.of_body else 'of the event'}"
        for name, value in route.sees.items()
    ]
    return "; ".join(["yes" if route.matched else "no", *seen])
