"""A store on a test's own place; and a database on PostgreSQL, and a store on it, for what is about that alone."""

from collections.abc import AsyncIterator, Iterator

import pytest

import postgres_server
from longstop.ports import Store
from longstop.stores.postgres import PostgresStore, ServerSettings
from stores_at_hand import Place


@pytest.fixture
async def opened(place: Place) -> AsyncIterator[Store]:
    """On an empty place of the kind that a test is run on."""
    made = place()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def url(postgresql: postgres_server.PostgresServer) -> Iterator[str]:
    """Where the database is."""
    with postgresql.database() as made:
        yield made


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    """Open, on that database."""
    made = PostgresStore(ServerSettings(url, relaxed=True))
    await made.open()
    yield made
    await made.close()
