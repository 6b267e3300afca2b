"""A process goes on behind the ids that are kept, and reads ids alone for it: its clock may have been set back."""

import random
from pathlib import Path
from typing import Any

import pytest

from longstop import config, wiring
from longstop.clock import SystemClock
from longstop.model.append import Append
from longstop.model.delivery import State
from longstop.model.ids import format_uuid7
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event

SETTINGS = """
[store]
url = "memory://"

[sources.shop]
kind = "generic"
verify = { scheme = "none" }

[destinations.crm]
url = "http://127.0.0.1:9/"
allow_private = true
"""


class Asked:
    """A store that notes what is asked of it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.names.append(name)
        return getattr(self._store, name)


async def opened(store: Any) -> wiring.Parts:
    settings = config.parse(SETTINGS, where="longstop.toml", environ={}, base=Path("/nowhere"))
    made = wiring.parts(settings)
    parts = wiring.Parts(settings, store, made.sources, made.router, SystemClock(), random.Random(1))
    await parts.open()
    return parts


@pytest.mark.parametrize("ahead_ms", [0, 10**10])
async def test_ids_are_behind_those_of_the_youngest_event_and_the_youngest_delivery(ahead_ms: int) -> None:
    store = MemoryStore()
    event = make_event(1)
    late = make_delivery(event, id=format_uuid7(AT_MS + ahead_ms + 5, 7), state=State.SCHEDULED)
    await store.append([make_append(3)])
    asked = Asked(store)
    await store.append([Append(event, (late,))])
    parts = await opened(asked)
    assert parts.ids.make(AT_MS - 10**6) > late.id
    assert asked.names == ["open", "find_ids"]
