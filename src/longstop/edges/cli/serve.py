"""Running: a gateway, or one half of it, in the foreground until it is told to stop."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import say
from longstop.edges.cli.handlers import import_from_here
from longstop.edges.cli.options import DEFAULT_CONFIG, AppPath, AsJson, ConfigPath, Injected
from longstop.edges.cli.program import Program, RoleName

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.model.settings import SourceSettings

LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    Parameter(name="--log-level", help="Logs of this level and above go to standard error.", show_default=True),
]


def serve(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    app: AppPath = None,
    log_level: LogLevel = "info",
    program: Injected,
) -> int:
    """Accept events and deliver them, until SIGTERM or Ctrl-C.

    Handlers are imported from the current folder, or from what is installed. With --app those that an application
    registers in its code are called, in this process and without the application itself.
    """
    return _run(program, config, app, "both", log_level)


def ingest(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    app: AppPath = None,
    log_level: LogLevel = "info",
    program: Injected,
) -> int:
    """Only accept events, until SIGTERM or Ctrl-C. `longstop work` delivers them."""
    return _run(program, config, app, "ingest", log_level)


def work(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    app: AppPath = None,
    log_level: LogLevel = "info",
    program: Injected,
) -> int:
    """Only deliver events, until SIGTERM or Ctrl-C. `longstop ingest` accepts them."""
    return _run(program, config, app, "work", log_level)


def demo(
    *,
    keep: Annotated[
        bool, Parameter(name="--keep", help="Leave configuration, database and log behind.", show_default=False)
    ] = False,
    json: AsJson = False,
    program: Injected,
) -> int:
    """See it work, in under a minute: a sender, a destination that fails and goes down, nothing lost.

    Everything happens in a temporary folder, which is gone in the end without --keep. Exits with 0 only if every event
    was delivered.
    """
    return program.demo(json, keep)


def _run(program: Program, path: ConfigPath, app: str | None, role: RoleName, log_level: str) -> int:
    from longstop.telemetry.logs import configure_logs

    import_from_here()
    configure_logs(log_level)
    config = program.load(path, app)
    say([f"warning: {each}" for each in config.warnings])

    def ready(url: str, operators_url: str) -> None:
        for text in announcement(config, role, url, operators_url):
            output.line(text)
        sys.stdout.flush()

    return program.run(program.serve(config, role, ready, app))


def announcement(config: "Config", role: RoleName, url: str, operators_url: str) -> list[str]:
    """What a person wants to know of a gateway that has started: where to post, how to try, where to look."""
    from longstop.edges.rows.first_event import reachable

    lines = []
    if role != "work":
        for source in config.sources:
            lines.append(f"{source.name} ({source.kind}): POST {url}/webhooks/{source.name}")
            lines += _to_try(source, url)
    if role != "ingest":
        lines += [f"{each.name}: delivering to {config.targets[each.name]}" for each in config.destinations]
    if operators_url:
        lines.append(f"console: {reachable(operators_url)}/")
    return [*lines, "Ctrl-C stops."]


def _to_try(source: "SourceSettings", url: str) -> list[str]:
    from longstop.edges.rows.first_event import first_event

    command = first_event(source, url)
    return [f"  try: {command}"] if command.startswith("curl ") else []
