"""Simulations run on every store, or on those that STORES names."""

import pytest

from longstop.ports import Store
from stores_at_hand import STORES, Place, chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a store is run on each."""
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("virtual_places", chosen(STORES), indirect=True)


@pytest.fixture
def store(virtual_place: Place) -> Store:
    """An empty store, closed yet: shop.run_on opens it."""
    return virtual_place()
