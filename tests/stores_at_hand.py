"""The stores that tests run on, each by its name: `place` is an empty one, as a function that makes a store over it.

Every call makes another `Store` over the same place, closed yet: another process, or the same one after a restart.
What needs a server starts one for the session, in a folder of its own, and ends it; where the server cannot be had,
its tests are skipped with the reason, and fail where LONGSTOP_CI is set.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore

Place = Callable[[], Store]

PERSISTING = ("sqlite",)
"""What is there still when the store is closed."""
STORES = ("memory", *PERSISTING)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """An empty place for the store whose name is the parameter (`indirect`)."""
    made: Place = request.getfixturevalue(f"{request.param}_place")
    return made


@pytest.fixture
def memory_place() -> Place:
    return MemoryStore


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    return lambda: SqliteStore(tmp_path / "store.db")
