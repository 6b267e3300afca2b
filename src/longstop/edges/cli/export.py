"""All events as lines of JSON, out of the store and into it."""

import contextlib
import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, CommandError, say
from longstop.edges.cli.files import STDIN, refuse_option
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.model.audit import AuditAction
from longstop.model.printable import printable
from longstop.operating.event_lines import Imported

PRIVATE = 0o600

_Argument = partial(Parameter, name="FILE", allow_leading_hyphen=True)
NewFile = Annotated[Path, _Argument(help="Where the lines go: a file that does not exist yet, or - for stdout.")]
LinesFile = Annotated[Path, _Argument(help="Lines that were exported or archived, also as .gz; - for stdin.")]


def export(
    file: NewFile,
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    program: Injected,
) -> int:
    """Write every event with all that belongs to it as a line of JSON, while the gateway runs or not.

    Body, headers, deliveries, attempts, decisions, dedup key: what `longstop import` puts in again.
    """
    refuse_option(file)

    async def work(parts: Parts) -> int:
        lines = parts.event_lines()
        await parts.auditor(caller()).note(AuditAction.EVENTS_EXPORT, "store", printable(str(file)))
        number = 0
        with _new_file(file) as out, output.progress("exporting", await lines.events()) as count:
            async for line in lines.export():
                out.write(line)
                number += 1
                count(1)
        say([f"Exported {number} event{'' if number == 1 else 's'}."])
        return DONE

    return on_store(program, config, work)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, which has its name only once it is whole and on the disk; standard output for `-`."""
    if path == STDIN:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise CommandError(f"{path} exists already; expected the name of a new file")
    part = path.with_name(f"{path.name}.part")
    try:
        with open(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.rename(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from None


def import_(
    file: LinesFile,
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Put exported or archived events into the store, as they stood. What waited waits again, and goes out.

    An event whose id is kept already stays as it is, so that an import may be tried again.
    """
    refuse_option(file)

    async def work(parts: Parts) -> int:
        await parts.auditor(caller()).note(AuditAction.EVENTS_IMPORT, "store", printable(str(file)))
        done = Imported(0, 0)
        with _lines(file) as lines, output.progress("importing", None) as count:
            async for now in parts.event_lines().take(lines, str(file)):
                count(now.lines - done.lines)
                done = now
        _tell(done, json)
        return DONE

    return on_store(program, config, work)


def _tell(done: Imported, json: bool) -> None:
    if json:
        output.json_line({"imported": done.events, "known": done.known})
        return
    were = f"; {done.known} were there already and stay as they are" if done.known else ""
    output.line(f"Imported {done.events} event{'' if done.events == 1 else 's'}{were}.")


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file."""
    try:
        if path == STDIN:
            yield iter(sys.stdin.buffer)
        elif path.suffix == ".gz":
            with gzip.open(path) as file:
                yield iter(file)
        else:
            with path.open("rb") as file:
                yield iter(file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{path} cannot be read: {reason}; what was read of it so far is imported") from None
