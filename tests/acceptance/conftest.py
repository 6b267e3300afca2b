"""Acceptance tests run on every store that other processes can see, or on those that STORES names."""

import pytest

from stores_at_hand import PERSISTING, chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test whose programs keep events is run on each store."""
    if "store_kind" not in metafunc.fixturenames:
        return
    little = metafunc.definition.get_closest_marker("any_store") is not None
    kinds: list[object] = [*chosen(PERSISTING, ["sqlite"] if little else None)]
    if (alone := metafunc.definition.get_closest_marker("sqlite_alone")) is not None:
        kinds = [*chosen(["sqlite"])] or [pytest.param("sqlite", marks=pytest.mark.skip(alone.args[0]))]
    metafunc.parametrize("store_kind", kinds, indirect=True, scope="module")
