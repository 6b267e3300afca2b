"""Acceptance tests run on every store that other processes can see, or on those that STORES names."""

import pytest

from stores_at_hand import choose_stores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test whose programs keep events is run on each store."""
    choose_stores(metafunc)
