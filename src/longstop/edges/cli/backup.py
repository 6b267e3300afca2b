"""A copy of the store, made while it is in use."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, CommandError, utf8
from longstop.edges.cli.files import refuse_option
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.model.audit import AuditAction


def backup(
    file: Annotated[Path, Parameter(name="FILE", help="Where the copy goes; it must not exist yet.")],
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Copy the store into one file, while the gateway runs or not. The copy is of one moment, and checked.

    docs/backup.md says how it is restored.
    """
    refuse_option(file)

    async def work(parts: Parts) -> int:
        backups = parts.backups()
        if backups is None:
            raise CommandError("the store is not one file; back it up with its own tools")
        await parts.auditor(caller()).note(AuditAction.BACKUP, "store", utf8("FILE", str(file)))
        made = await backups.backup(file)
        row = {"file": made.file, "bytes": made.bytes, "events": made.events}
        if json:
            output.json_line(row)
        else:
            output.line(f"Wrote {made.file}: {made.bytes} bytes, {made.events} events; checked.")
        return DONE

    return on_store(program, config, work)
