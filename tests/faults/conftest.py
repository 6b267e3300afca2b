"""Networks and servers for the tests in here. They are gone when the test is over, however it ended."""

from collections.abc import Iterator

import pytest

from faults.namespaces import Servers, Wire, wired


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
