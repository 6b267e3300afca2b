"""The program: `longstop` and `python -m longstop`. It hands the command line what the rest of the house can do.

Everything is imported when it is asked for, so that `longstop --help` answers at once.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longstop.edges.cli import app, standard_streams
from longstop.edges.cli.program import Parts, RoleName

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.edges.cli.program import AwsAccount
    from longstop.edges.cli.where import Remote
    from longstop.edges.desk.remote_desk import RemoteDesk
    from longstop.model.routing import Router
    from longstop.ports import Clock, Source


class _Program:
    """The composition root, for the command line. `edges.cli.program.Program` says what each part promises."""

    @property
    def clock(self) -> "Clock":
        from longstop.clock import SystemClock

        return SystemClock()

    def load(self, path: Path, app: str | None = None, more_in_code: bool = False) -> "Config":
        from longstop import config

        return config.load(path, environ=os.environ, handlers=_handlers(app), more_in_code=more_in_code)

    def load_for_store(self, path: Path, needed: Collection[str]) -> "Config":
        from longstop import config

        return config.load_for_store(path, environ=os.environ, needed=needed)

    def opened(self, config: "Config") -> AbstractAsyncContextManager[Parts]:
        from longstop import wiring
        from longstop.telemetry.logs import log_of_command

        log_of_command()
        return wiring.opened(config)

    def opened_at(self, url: str) -> AbstractAsyncContextManager[Parts]:
        return self.opened(_config_at(url))

    def has_store_at(self, url: str) -> bool:
        return self.has_store(_config_at(url))

    def place_of(self, url: str) -> str:
        return _config_at(url).store.place

    @contextlib.asynccontextmanager
    async def desk_at(self, remote: "Remote") -> "AsyncIterator[RemoteDesk]":
        from longstop.client import AsyncClient
        from longstop.edges.desk.remote_desk import RemoteDesk

        async with AsyncClient(remote.url, token=remote.token or "", ca_file=remote.ca_file) as client:
            yield RemoteDesk(client, self.clock)

    def has_store(self, config: "Config") -> bool:
        from longstop import wiring

        return wiring.has_store(config)

    def built(self, config: "Config") -> "tuple[Mapping[str, Source], Router]":
        from longstop import wiring

        made = wiring.parts(config)
        return made.sources, made.router

    def aws_account(self, config: "Config", path: Path) -> "AwsAccount":
        from longstop.config import variables_of
        from longstop.wiring.aws_setup import aws_account

        return aws_account(config, variables_of(path), self.clock)

    def run(self, main: Coroutine[Any, Any, int]) -> int:
        from longstop.wiring import serve

        return serve.run(main)

    def serve(
        self, config: "Config", role: RoleName, ready: Callable[[str, str], None], app: str | None = None
    ) -> Coroutine[Any, Any, int]:
        from longstop.wiring import Role, serve

        return serve.serve(config, Role[role.upper()], ready, _handlers(app))

    def unusable(self, config: "Config", path: Path, app: str | None = None) -> tuple[str, ...]:
        from longstop.config import placed_in
        from longstop.wiring.unusable import unusable

        return placed_in(path, unusable(config, _handlers(app)))

    def demo(self, json: bool, keep: bool) -> int:
        from longstop.demo.run import run

        return run(json=json, keep=keep)


def _config_at(url: str) -> "Config":
    """A configuration with nothing in it but its store."""
    from longstop import config

    # Only the store counts: that there is no source is passed over.
    text = f"[store]\nurl = {json.dumps(url)}\n"
    return config.parse_for_store(text, where="", environ=os.environ, base=Path())


def _handlers(app: str | None) -> Mapping[str, Callable[..., Any]]:
    """The handlers that an application's code registers, by destination. Raises ConfigurationError."""
    if app is None:
        return {}
    from longstop.embed import gateway_at

    return gateway_at(app).handlers


def command() -> int:
    """Run the command line of this process; its exit status."""
    return app.run(sys.argv[1:], _Program())


def main() -> int:
    """Be the program: run the command line, and end with nobody left behind."""
    standard_streams.fill()
    status = command()
    if threading.active_count() > 1:
        # A handler that never returns keeps its thread, and the interpreter would wait for it for ever. What had to
        # be finished is finished by now, and its delivery was rescheduled.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
