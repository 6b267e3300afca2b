"""The operators' API as its tests see it: a store, a clock that stands still, and requests without a network."""

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from cli_program import NOW_MS, TEXT, StandingClock

from longstop import config, wiring
from longstop.edges.operators.access.current import current
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import create_api
from longstop.edges.operators.api.services import Services
from longstop.operating.masked_store import Shown
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore

__all__ = ["NOW_MS", "STORES", "asking", "make_services", "store_at"]

STORES = ("memory", "sqlite")


def store_at(kind: str, folder: Path) -> Store:
    return MemoryStore() if kind == "memory" else SqliteStore(folder / "store.db")


def make_services(store: Store, text: str = TEXT, **changes: Any) -> Services:
    settings = config.parse(text, where="longstop.toml", environ={}, base=Path("/nowhere"))
    made = wiring.parts(settings)
    parts = wiring.Parts(settings, store, made.sources, made.router, StandingClock(), random.Random(1))
    given = {
        "config": settings,
        "store": store,
        "clock": parts.clock,
        "sources": parts.sources,
        "router": parts.router,
        "replay": parts.replay,
        "bodies": parts.bodies,
        "shown": Shown(parts.masking, current),
        "auditor": parts.auditor,
        "accounts": parts.accounts,
        "alert": parts.alert,
        "ids": parts.ids,
        "why_not_ready": list,
        "alerts": parts.alerts(),
    }
    return Services(**{**given, **changes})


@contextlib.asynccontextmanager
async def asking(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API; what the app raises is answered 500, as on a wire."""
    app = guarded(create_api(services), services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8081") as client:
        yield client
