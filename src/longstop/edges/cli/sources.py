"""Sources: which there are, what is known of one, and what would become of a captured request."""

import json as json_
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from longstop.edges.cli import output, tables
from longstop.edges.cli.captured_request import captured
from longstop.edges.cli.errors import DONE, FAILED, CommandError, UsageError, say
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import parse_time
from longstop.edges.cli.listing import first
from longstop.edges.cli.options import AsJson, Injected, Limit, checked_limit
from longstop.edges.cli.program import Program, for_looking
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Remote, Where, at_gateway
from longstop.edges.desk.desk import TestOf
from longstop.edges.rows.found import find_rejection
from longstop.edges.rows.sources import dry_run_row, source_details, source_refused_row, source_row
from longstop.edges.rows.values import Row
from longstop.model.errors import StoreError
from longstop.model.exchange import Request
from longstop.model.rejection import HeldCount, Rejection, RejectionCount
from longstop.model.settings import SourceSettings

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.edges.desk.remote_desk import RemoteDesk

T = TypeVar("T")

COLUMNS = (
    Column("source"),
    Column("kind", least=8),
    Column("verified by", least=8),
    Column("path"),
    Column("to", least=8),
    Column("refused", least=8),
)
Name = Annotated[str, Parameter(name="NAME", help="A source of the configuration.")]


def list_sources(*, limit: Limit = 50, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """List the sources of the configuration."""
    checked_limit(limit)
    rows = first(_rows(program, where), limit)
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


def _rows(program: Program, where: Where) -> list[Row]:
    """The configured sources, with what was refused of each."""
    remote = where.remote(os.environ)
    if remote is None:
        settings = for_looking(program, where.file(os.environ))
        counts, held = refusals(program, settings)
        return [
            {**source_row(settings, each), **source_refused_row(each.name, counts, held)} for each in settings.sources
        ]
    asked = asked_of(program, remote, lambda desk: desk.sources())
    return [_as_configured(each) for each in asked if each["configured"]]


def _as_configured(row: Row) -> Row:
    """A source's row as it is where the configuration is at hand; what it did is for `statistics`."""
    names = ("name", "kind", "verified", "path", "to", "refused", "refused_since", "held")
    return {name: row["url_path" if name == "path" else name] for name in names}


def asked_of(program: Program, remote: Remote, ask: "Callable[[RemoteDesk], Awaitable[T]]") -> "T":
    """What a gateway answers."""
    found: list[T] = []

    async def work(desk: "RemoteDesk") -> int:
        found.append(await ask(desk))
        return DONE

    at_gateway(program, remote, work)
    return found[0]


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


def show_source(name: Name, /, *, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Show a source, whole, without its secrets."""
    remote = where.remote(os.environ)
    if remote is None:
        settings = for_looking(program, where.file(os.environ))
        source = named(settings, name)
        row = {**source_row(settings, source), **source_details(source)}
    else:
        told = asked_of(program, remote, lambda desk: desk.source(name))
        names = ("name", "kind", "verified", "url_path", "to")
        row = {**{each.removeprefix("url_"): told[each] for each in names}, **told["settings"]}
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
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Say what would become of a captured request, and why. Nothing is kept and nothing is delivered."""
    at_ms = parse_time("--at", at, program.clock.now_ms())
    if rejection is None:
        wanted = TestOf(replace(_captured(file, name, header), client=client), None, at_ms)
    elif file is not None or header or client:
        raise UsageError("--rejection: found FILE, --header or --client beside it; expected one or the other")
    else:
        wanted = TestOf(None, rejection.strip().lower(), at_ms)
    remote = where.remote(os.environ)
    if remote is None:
        row = _tried(program, where.file(os.environ), name, wanted)
    else:
        told = asked_of(program, remote, lambda desk: desk.test_source(name, wanted))
        row = {("status" if each == "would_answer" else each): told[each] for each in _TOLD}
    _tell(row, json)
    return DONE if row["verdict"] in ("accepted", "answered") else FAILED


_TOLD = "verdict would_answer type key dedup occurred_at destinations routes problems".split()


def _tried(program: Program, config: Path, name: str, wanted: TestOf) -> Row:
    """What would become of it, by the configuration at hand."""
    from longstop.operating.dry_run import dry_run, dry_run_of_rejection

    settings = program.load(config, more_in_code=True)
    source = named(settings, name)
    sources, router = program.built(settings)
    if wanted.request is None:
        sample = find_sample(program, settings, name, wanted.rejection or "")
        at_ms = sample.at_ms if wanted.at_ms is None else wanted.at_ms
        return dry_run_row(dry_run_of_rejection(source, sources[name], router, sample, at_ms))
    at_ms = program.clock.now_ms() if wanted.at_ms is None else wanted.at_ms
    return dry_run_row(dry_run(source, sources[name], router, wanted.request, at_ms))


def _captured(file: Path | None, name: str, header: tuple[str, ...]) -> Request:
    if file is None:
        raise UsageError("found neither FILE nor --rejection; expected a captured request, or the id of a refused one")
    refuse_option(file)
    return captured(read_bytes(file), name, list(header))


def find_sample(program: Program, config: "Config", name: str, id_: str) -> Rejection:
    """A refused request by its id. Raises NotFoundError."""
    found: list[Rejection] = []

    async def ask() -> int:
        async with program.opened(config) as parts:
            found.append(await find_rejection(parts.store, name, id_))
        return DONE

    if not program.has_store(config):
        raise CommandError(f"found no refused request {id_}: there is no store yet")
    program.run(ask())
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


def _tell(row: Row, json: bool) -> None:
    if json:
        output.json_line(row)
        return
    output.line(f"{row['verdict']} (HTTP {row['status']})")
    for problem in row["problems"]:
        output.line(f"  {problem}")
    if row["verdict"] == "accepted":
        output.line(f"  type   {row['type'] or '-'}")
        output.line(f"  key    {row['key'] or '-'}")
        output.line(f"  dedup  {row['dedup'] or '- (never a duplicate)'}")
        if row["occurred_at"] is not None:
            output.line(f"  time   {row['occurred_at']}")
        output.line(f"  to     {', '.join(row['destinations']) or '- (kept as unrouted)'}")
        for route in row["routes"]:
            if route["when"]:
                output.line(f"  when   {route['when']}  → {', '.join(route['to'])}: {_matched(route)}")


def _matched(route: Row) -> str:
    """Whether a condition holds, and what it saw where a name may stand for one thing or another."""
    seen = [
        f"{name} is {json_.dumps(value)}, {'of the body' if name in route['of_body'] else 'of the event'}"
        for name, value in route["sees"].items()
    ]
    return "; ".join(["yes" if route["matched"] else "no", *seen])
