"""The program as the command line's unit tests see it: a store in memory, a clock that stands still."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from longstop import config, wiring
from longstop.client import AsyncClient
from longstop.edges.cli import app
from longstop.edges.cli.program import AwsAccount
from longstop.edges.cli.where import Remote
from longstop.edges.desk.remote_desk import RemoteDesk
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import create_api
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.routing import Router
from longstop.ports import Source, Store
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append
from longstop.wiring.aws_setup import aws_account

NOW_MS = AT_MS + 3_600_000
"""An hour after the builders' events arrived."""

TEXT = """\
[sources.shop]
kind = "generic"
verify = { scheme = "header", header = "X-Shop-Key" }
secrets = ["hunter2-hunter2"]

[destinations.crm]
url = "http://127.0.0.1:9/"
allow_private = true

[[routes]]
from = "shop"
when = "wanted"
to = ["crm"]
"""


class StandingClock:
    """Always NOW_MS; remembers how long it was asked to sleep."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_ms(self) -> int:
        return NOW_MS

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


@dataclass
class FakeProgram:
    """Implements edges.cli.program.Program."""

    text: str = TEXT
    store: Store = field(default_factory=MemoryStore)
    clock: StandingClock = field(default_factory=StandingClock)
    problems: tuple[str, ...] = ()
    services: dict[str, Any] = field(default_factory=dict)
    """Of the gateway that --url leads to, where they are others."""
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def aws_account(self, settings: config.Config, path: Path) -> AwsAccount:
        return aws_account(settings, ("SHOP_SECRET",), self.clock)

    def load(self, path: Path, app: str | None = None, more_in_code: bool = False) -> config.Config:
        return config.parse(self.text, where=str(path), environ={}, base=Path("/nowhere"))

    def load_for_store(self, path: Path, needed: Collection[str]) -> config.Config:
        return config.parse_for_store(self.text, where=str(path), environ={}, base=Path("/nowhere"), needed=needed)

    @contextlib.asynccontextmanager
    async def opened(self, settings: config.Config) -> AsyncIterator[wiring.Parts]:
        made = wiring.parts(settings)
        yield wiring.Parts(settings, self.store, made.sources, made.router, self.clock, self.rng)

    @contextlib.asynccontextmanager
    async def desk_at(self, remote: Remote) -> AsyncIterator[RemoteDesk]:
        """A gateway on the same store, asked without a network."""
        from operators_api import make_services

        made = make_services(self.store, self.text, **self.services)
        transport = httpx.ASGITransport(guarded(create_api(made), made), client=("127.0.0.1", 4711))
        async with AsyncClient(remote.url, token=remote.token or "", transport=transport) as client:
            yield RemoteDesk(client, self.clock)

    def has_store(self, settings: config.Config) -> bool:
        return True

    def built(self, settings: config.Config) -> tuple[Mapping[str, Source], Router]:
        made = wiring.parts(settings)
        return made.sources, made.router

    def run(self, main: Coroutine[Any, Any, int]) -> int:
        return asyncio.run(main)

    async def serve(
        self, settings: config.Config, role: str, ready: Callable[[str, str], None], app: str | None = None
    ) -> int:
        ready("http://0.0.0.0:8080" if role != "work" else "", "http://127.0.0.1:8081")
        return 0

    def unusable(self, settings: config.Config, path: Path, app: str | None = None) -> tuple[str, ...]:
        return self.problems

    def demo(self, json: bool, keep: bool) -> int:
        return 0

    # -- for the tests --

    def cli(self, *argv: str) -> int:
        return app.run(argv, self)

    def keep(self, *appends: Append) -> None:
        asyncio.run(self._append(appends))

    async def _append(self, appends: tuple[Append, ...]) -> None:
        await self.store.append(appends)

    def delivery(self, id_: str) -> Delivery:
        found = asyncio.run(self._delivery(id_))
        assert found is not None
        return found

    async def _delivery(self, id_: str) -> Delivery | None:
        return await self.store.delivery(id_)


def make_dead(number: int, destination: str = "crm", **changes: Any) -> Append:
    """An event whose one delivery is dead; `changes` are fields of Event."""
    from dataclasses import replace

    from longstop.model.delivery import DeadReason, State

    made = make_append(number, to=(destination,), **changes)
    dead = replace(
        made.deliveries[0],
        state=State.DEAD,
        reason=DeadReason.REJECTED,
        attempts=3,
        last_status=422,
        last_error="HTTP 422",
        ended_at_ms=AT_MS + number * 60_000,
    )
    return replace(made, deliveries=(dead,))
