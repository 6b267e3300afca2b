"""A database on PostgreSQL of a test's own, and a store on it: for what is about that store alone."""

from collections.abc import AsyncIterator, Iterator

import pytest

import postgres_server
from longstop.stores.postgres import PostgresStore, ServerSettings


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
