"""Networks and servers for the tests in here. They are gone when the test is over, however it ended."""

from collections.abc import Iterator

import pytest

from faults.namespaces import Namespace, Servers, Wire, wired
from faults.private import World
from stores_at_hand import choose_stores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What may run on any store runs on SQLite, or on those that STORES names."""
    if metafunc.definition.get_closest_marker("any_store") is not None:
        choose_stores(metafunc)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """A thread for servers."""
    with Servers() as made:
        yield made


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Two namespaces with a wire between them."""
    with wired() as made:
        yield made


@pytest.fixture
def world(servers: Servers) -> Iterator[World]:
    """A namespace that has public and private addresses, and servers at them."""
    with Namespace() as made:
        yield World(made, servers)
