"""What the command line needs of the rest of the program. `longstop.__main__` hands it in.

The commands see only these protocols: so they need no import of the composition root, and nothing heavy is loaded
until a command asks for it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from longstop.edges.cli.errors import say

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.edges.cli.where import Remote
    from longstop.edges.desk.remote_desk import RemoteDesk
    from longstop.model.breaker import CircuitChange
    from longstop.model.caller import Caller
    from longstop.model.ids import IdFactory
    from longstop.model.routing import Router
    from longstop.model.setup import Finding, Step
    from longstop.model.spool import SpoolFacts
    from longstop.operating.accounts import Accounts
    from longstop.operating.alerts import Alerts
    from longstop.operating.audit import Auditor
    from longstop.operating.bodies import Bodies
    from longstop.operating.event_lines import EventLines
    from longstop.operating.job_runner import JobRunner
    from longstop.operating.jobs import JobService
    from longstop.operating.masking import Masking
    from longstop.operating.move import Move
    from longstop.operating.pause import Pausing
    from longstop.operating.release import Release
    from longstop.operating.replay import Replay
    from longstop.operating.retention import Retention
    from longstop.ports import Archive, Backups, Clock, Source, Store

RoleName = Literal["both", "ingest", "work"]


class Parts(Protocol):
    """A configuration with its store open."""

    @property
    def config(self) -> "Config":
        """What was read."""

    @property
    def store(self) -> "Store":
        """Open for as long as the parts are."""

    @property
    def clock(self) -> "Clock":
        """The time."""

    @property
    def masking(self) -> "Masking":
        """What is hidden from people without the scope for it."""

    @property
    def sources(self) -> "Mapping[str, Source]":
        """The sources by name."""

    @property
    def router(self) -> "Router":
        """The routes."""

    @property
    def ids(self) -> "IdFactory":
        """What makes ids."""

    @property
    def archive(self) -> "Archive | None":
        """Where what is forgotten is kept, if anywhere."""

    def spool(self) -> "SpoolFacts | None":
        """How the spool stands; None where none is configured."""

    def backups(self) -> "Backups | None":
        """What copies the store, where it is one file."""

    def event_lines(self) -> "EventLines":
        """What exports and imports."""

    def move_to(self, target: "Store") -> "Move":
        """What moves everything into another store, which is open."""

    def retention(self) -> "Retention":
        """The service that forgets."""

    def auditor(self, caller: "Caller") -> "Auditor":
        """What notes in the audit log what a caller does."""

    def jobs(self, caller: "Caller") -> "JobService":
        """The service that makes and stops jobs, on behalf of whoever asks."""

    def job_runner(self, delivers: bool) -> "JobRunner":
        """What carries jobs out in this process. delivers: whether anybody delivers what it releases."""

    def accounts(self, caller: "Caller") -> "Accounts":
        """The service that changes users and tokens, on behalf of whoever asks."""

    def bodies(self, caller: "Caller") -> "Bodies":
        """What hands out bodies to whoever asks."""

    def pausing(self, caller: "Caller") -> "Pausing":
        """The service that pauses and resumes, on behalf of whoever asks."""

    def replay(self, caller: "Caller") -> "Replay":
        """The replay service, on behalf of whoever asks."""

    def release(self, source: str, caller: "Caller") -> "Release":
        """The service that releases what is held of a configured source."""

    def alerts(self) -> "Alerts":
        """The service that decides what people are told."""

    async def alert(self, change: "CircuitChange") -> str | None:
        """Have people told of a circuit that a person changed; what went wrong, None where nothing did."""


class AwsAccount(Protocol):
    """An account of AWS, or a place in one, that a store is in or is to be in."""

    def template(self, *, sam: bool, kms: bool) -> dict[str, Any]:
        """A template of CloudFormation. sam: the functions are SAM's; kms: all is encrypted by a key of its own."""

    def as_text(self, made: dict[str, Any]) -> str:
        """A template for people."""

    def init(self) -> "AsyncIterator[Step]":
        """Make what is missing. Raises StoreUnavailableError."""

    def check(self) -> "AsyncIterator[Finding]":
        """Look at everything. Raises StoreUnavailableError."""


class Program(Protocol):
    """The whole program, as a command sees it."""

    @property
    def clock(self) -> "Clock":
        """The time."""

    def load(self, path: Path, app: str | None = None, more_in_code: bool = False) -> "Config":
        """The configuration in a file. Raises ConfigurationError.

        app: the gateway of an application, `module:name`, whose handlers are known. more_in_code: destinations it does
        not describe are taken for some application's, and are no error.
        """

    def load_for_store(self, path: Path, needed: Collection[str]) -> "Config":
        """What a command that looks or decides needs of a configuration: its store, and whatever else is sound.

        needed: the tables that have to be right. `passed_over` says what else is not. Raises ConfigurationError.
        """

    def opened(self, config: "Config") -> AbstractAsyncContextManager[Parts]:
        """The parts that a configuration describes, with the store open. Raises ConfigurationError, StoreError."""

    def opened_at(self, url: str) -> AbstractAsyncContextManager[Parts]:
        """The parts over the store that a URL names, open. Raises ConfigurationError, StoreError."""

    def has_store_at(self, url: str) -> bool:
        """Whether there is a store yet where a URL says. Raises ConfigurationError."""

    def place_of(self, url: str) -> str:
        """Where the store of a URL is, for people, without secrets. Raises ConfigurationError."""

    def has_store(self, config: "Config") -> bool:
        """Whether there is a store yet that this process can see; `opened` would make one."""

    def built(self, config: "Config") -> "tuple[Mapping[str, Source], Router]":
        """The sources by name, and the routes, without a store. Raises ConfigurationError."""

    def aws_account(self, config: "Config", path: Path) -> AwsAccount:
        """Where the store of a configuration is. path: of its file. Raises ConfigurationError where that is not AWS."""

    def desk_at(self, remote: "Remote") -> "AbstractAsyncContextManager[RemoteDesk]":
        """The desk over a gateway's API. Raises InsecureError, UnreachableError."""

    def run(self, main: Coroutine[Any, Any, int]) -> int:
        """Run a coroutine to its end; what it returns."""

    def serve(
        self, config: "Config", role: RoleName, ready: Callable[[str, str], None], app: str | None = None
    ) -> Coroutine[Any, Any, int]:
        """Run a gateway until it is told to stop; the exit status.

        `ready` gets the URL that senders post to and the one that operators look at; "" for one that is not served.
        """

    def unusable(self, config: "Config", path: Path, app: str | None = None) -> tuple[str, ...]:
        """Problems that show only when the parts are built: a handler's module that is missing, say.

        path: of the file, for the lines.
        """

    def demo(self, json: bool, keep: bool) -> int:
        """Run the demonstration; its exit status. keep: what it was done with stays."""


def on_store(
    program: Program,
    config: Path,
    work: Callable[[Parts], Awaitable[int]],
    *,
    needed: Collection[str] = ("store",),
    whole: bool = False,
) -> int:
    """Read the configuration, open its store, do the work, close; the exit status.

    needed: the tables that have to be right; whole: all of it has to be.
    """
    settings = program.load(config, more_in_code=True) if whole else for_looking(program, config, needed)

    async def main() -> int:
        async with program.opened(settings) as parts:
            return await work(parts)

    return program.run(main())


def for_looking(program: Program, config: Path, needed: Collection[str] = ("store",)) -> "Config":
    """The configuration for a command that looks or decides; what it passes over is said in one line."""
    settings = program.load_for_store(config, needed)
    if settings.passed_over:
        first, *others = settings.passed_over
        place = first.partition(": ")[0] if first.startswith(f"{config}:") else str(config)
        what = first.removeprefix(f"{place}: ").partition(";")[0]
        more = f", and {len(others)} more" if others else ""
        say([f"longstop: passes over {place}: {what}{more} (`longstop check` says all)"])
    return settings
