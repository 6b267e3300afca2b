"""Which of the two ways a command goes: to the store that a configuration names, or over a gateway's API (`--url`)."""

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli.errors import CommandError, UsageError
from longstop.edges.cli.files import refuse_option
from longstop.edges.cli.options import DEFAULT_CONFIG
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, Program, on_store

if TYPE_CHECKING:
    from longstop.edges.desk.desk import Desk
    from longstop.edges.desk.remote_desk import RemoteDesk


@dataclass(frozen=True, slots=True)
class Remote:
    """A gateway's operators' port, and what is shown there."""

    url: str
    token: str | None = field(repr=False)
    ca_file: str | None


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where a command looks and decides."""

    config: Annotated[
        Path | None,
        Parameter(
            name="--config", help="The configuration file; else LONGSTOP_CONFIG, or longstop.toml.", show_default=False
        ),
    ] = None
    url: Annotated[
        str | None,
        Parameter(
            name="--url", help="The operators' port of a gateway, in place of a configuration; else LONGSTOP_URL."
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(
            name="--token-file",
            help="With --url: the token stands in this file; else in LONGSTOP_TOKEN, or the file LONGSTOP_TOKEN_FILE.",
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        Parameter(name="--ca-file", help="With --url: trust the authorities in this file; else SSL_CERT_FILE."),
    ] = None

    def remote(self, environ: Mapping[str, str]) -> Remote | None:
        """The gateway that is to be asked; None: the store is. What is typed goes before the environment.

        Raises UsageError, CommandError.
        """
        if self.url is not None and self.config is not None:
            raise UsageError("found --url and --config; expected one of them: a gateway, or the store beside it")
        url = self.url if self.url is not None or self.config is not None else environ.get("LONGSTOP_URL") or None
        if url is None:
            if self.token_file is not None or self.ca_file is not None:
                raise UsageError("found --token-file or --ca-file without --url; expected the gateway they are for")
            return None
        return Remote(url, self._token(environ), str(self.ca_file) if self.ca_file is not None else None)

    def file(self, environ: Mapping[str, str]) -> Path:
        """The configuration file."""
        return self.config or Path(environ.get("LONGSTOP_CONFIG") or DEFAULT_CONFIG)

    def _token(self, environ: Mapping[str, str]) -> str | None:
        named = environ.get("LONGSTOP_TOKEN_FILE") or None
        if self.token_file is None and environ.get("LONGSTOP_TOKEN"):
            return environ["LONGSTOP_TOKEN"]
        file = self.token_file or (Path(named) if named else None)
        return None if file is None else _token_in(file)


HERE = Where()


def _token_in(file: Path) -> str:
    refuse_option(file)
    try:
        text = file.read_text("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no text"
        raise CommandError(
            f"{file} cannot be read: {reason}; expected the token that `longstop tokens create` showed"
        ) from None
    if not text or len(text.split()) != 1:
        raise CommandError(
            f"{file}: expected one token and nothing else, as `longstop tokens create NAME > FILE` writes"
        )
    return text


def at_desk(
    program: Program, where: Where, work: "Callable[[Desk], Awaitable[int]]", *, needed: Collection[str] = ("store",)
) -> int:
    """Do the work at whichever desk the command line names; the exit status. needed: as in `on_store`."""
    remote = where.remote(os.environ)
    if remote is not None:
        return at_gateway(program, remote, work)

    async def beside(parts: Parts) -> int:
        # Late: services, which a command over the API has no use for.
        from longstop.edges.desk.store_desk import StoreDesk

        return await work(StoreDesk(parts, caller(), parts.job_runner(delivers=False)))

    return on_store(program, where.file(os.environ), beside, needed=needed)


def at_gateway(program: Program, remote: Remote, work: "Callable[[RemoteDesk], Awaitable[int]]") -> int:
    """Do the work over a gateway's API; the exit status."""

    async def main() -> int:
        async with program.desk_at(remote) as desk:
            return await work(desk)

    return program.run(main())
