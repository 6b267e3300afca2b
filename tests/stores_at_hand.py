"""The stores that tests run on, each by its name: `place` is an empty one, as a function that makes a store over it.

Every call makes another `Store` over the same place, closed yet: another process, or the same one after a restart.
What needs a server starts one for the session, in a folder of its own, and ends it; where the server cannot be had,
its tests are skipped with the reason, and fail where LONGSTOP_CI is set.

`STORES=postgresql,redis` chooses on which of them the contract, the simulations and the acceptance tests run;
`EMULATOR=moto` has the other emulator of AWS asked.
"""

import asyncio
import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from unittest import mock

import pytest

import aws_server
import postgres_server
from acceptance.harness import SQLITE, free_port
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.redis import RedisStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS
from longstop.testing.clock import StandingStill
from redis_server import QUICK, RedisServer, binary

Place = Callable[[], Store]

PERSISTING = ("sqlite", "postgresql", "redis")
"""What is there still when the store is closed."""
CLOUD = ("aws",)
"""Likewise, and each call takes milliseconds."""
STORES = ("memory", *PERSISTING)
CUT_AT_MS = (2, 3, 5, 9, 100_000, 400_000, 1_600_000, 2**46)
"""Where the spans of a PostgreSQL store end, behind AT_MS: what a test appends is in several of them, and nobody cuts
another one."""
_NUMBERS = itertools.count()
"""For files and prefixes that nobody has had yet."""


def chosen(possible: Sequence[str], otherwise: Sequence[str] | None = None) -> list[str]:
    """Those of a test's possible stores that STORES names; where it is not set, all of them or what is given."""
    named = os.environ.get("STORES")
    if named is None:
        return list(possible if otherwise is None else otherwise)
    wanted = named.split(",")
    if unknown := set(wanted) - {*STORES, *CLOUD}:
        raise pytest.UsageError(f"STORES={named}: {', '.join(unknown)} is not one of {', '.join((*STORES, *CLOUD))}")
    # What runs on every store that persists runs on those, too, where they are named.
    every = dict.fromkeys((*possible, *(CLOUD if set(PERSISTING) <= set(possible) else ())))
    return [name for name in every if name in wanted]


def in_cloud(url: str) -> bool:
    """Whether a store's URL names one of CLOUD."""
    return url.partition(":")[0] in CLOUD


def choose_stores(metafunc: pytest.Metafunc) -> None:
    """Run a test whose programs keep events on each of the chosen stores."""
    if "store_kind" not in metafunc.fixturenames:
        return
    otherwise = None
    mark = metafunc.definition.get_closest_marker
    if mark("any_store"):
        otherwise = ["sqlite"]
    elif mark("also_on_aws"):
        otherwise = [*PERSISTING, *CLOUD]
    kinds: list[object] = [*chosen(PERSISTING, otherwise)]
    if (alone := mark("sqlite_alone")) is not None:
        kinds = [*chosen(["sqlite"])] or [pytest.param("sqlite", marks=pytest.mark.skip(alone.args[0]))]
    metafunc.parametrize("store_kind", kinds, indirect=True, scope="module")


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


@pytest.fixture(scope="module")
def store_kind(request: pytest.FixtureRequest) -> str:
    """The store that programs of a test keep their events in: the parameter (`indirect`), or SQLite."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="module")
def new_store(request: pytest.FixtureRequest, store_kind: str) -> Iterator[Callable[[], str]]:
    """Makes empty stores of that kind for programs: what `store.url` is to be."""
    with ExitStack() as stack:
        if store_kind == "postgresql":
            server: postgres_server.PostgresServer = request.getfixturevalue("postgresql")
            yield lambda: f"{stack.enter_context(server.place())}&durability=relaxed"
        elif store_kind == "redis":
            port = request.getfixturevalue("redis_server").port
            options = "durability=relaxed&body_max=16MiB"
            yield lambda: f"redis://127.0.0.1:{port}?{options}&prefix=test-{next(_NUMBERS)}"
        elif store_kind == "aws":
            emulator: aws_server.AwsServer = request.getfixturevalue("aws_emulator")
            stack.enter_context(mock.patch.dict(os.environ, aws_server.CREDENTIALS))
            yield emulator.store
        else:
            yield lambda: SQLITE


@pytest.fixture
def virtual_places(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Place]]:
    """Makes empty places for the store whose name is the parameter (`indirect`), for virtual time.

    Nobody listens for other processes, and nothing happens in threads.
    """
    with ExitStack() as stack:
        yield _virtual(request, tmp_path, monkeypatch, stack)


@pytest.fixture
def virtual_place(virtual_places: Callable[[], Place]) -> Place:
    """One of them."""
    return virtual_places()


def _virtual(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack
) -> Callable[[], Place]:
    def memory() -> Place:
        return MemoryStore

    def sqlite() -> Place:
        path = folder / f"store-{next(_NUMBERS)}.db"
        return lambda: SqliteStore(path, watch_s=None, threaded=False)

    def postgresql() -> Place:
        from longstop.stores.postgres import PostgresStore, ServerSettings
        from longstop.stores.postgres.arrivals import Arrivals
        from longstop.stores.postgres.watch import Watch

        monkeypatch.setattr(Arrivals, "begin", lambda _self: None)
        monkeypatch.setattr(Watch, "begin", lambda _self: None)
        monkeypatch.setattr(Watch, "is_well", lambda _self: True)
        settings = ServerSettings(stack.enter_context(request.getfixturevalue("postgresql").place()), relaxed=True)
        return lambda: cast(Store, StandingStill(PostgresStore(settings)))

    def redis() -> Place:
        from longstop.stores.redis.arrivals import Arrivals

        async def listen(_: Arrivals) -> None:
            """To nobody."""

        monkeypatch.setattr(Arrivals, "listen", listen)
        prefix, server = f"test-{next(_NUMBERS)}", request.getfixturevalue("redis_server")
        return lambda: cast(Store, StandingStill(RedisStore(server.url, prefix=prefix, relaxed=True)))

    def aws() -> Place:
        from longstop.stores.aws import AwsStore

        request.getfixturevalue("aws_credentials")
        emulator: aws_server.AwsServer = request.getfixturevalue("aws_emulator")
        table = emulator.table()
        return lambda: cast(
            Store,
            StandingStill(AwsStore("eu-central-1", table, endpoint=emulator.url, shards=2)),  # type: ignore[arg-type]
        )

    makers = {"memory": memory, "sqlite": sqlite, "postgresql": postgresql, "redis": redis, "aws": aws}
    return makers[request.param]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres_server.PostgresServer]:
    """The session's PostgreSQL, with a migrated database to copy: what has been cut into spans is forgotten by rows."""
    postgres_server.needed()
    import asyncpg

    from longstop.stores.postgres import PostgresStore, ServerSettings, spans

    async def migrate(url: str) -> None:
        store = PostgresStore(ServerSettings(url, relaxed=True))
        await store.open()
        for offset_ms in CUT_AT_MS:
            await store.transact(functools.partial(cut, until_id=spans.lowest_id(AT_MS + offset_ms)))
        await store.rows("UPDATE spans SET by_rows = true")
        await store.close()

    async def cut(connection: asyncpg.Connection, until_id: str) -> None:
        await spans.divide(connection, (await spans.read(connection))[-1], until_id)

    with postgres_server.running(postgres_server.QUICK) as server:
        server.sql(f"CREATE DATABASE {postgres_server.TEMPLATE}")
        asyncio.run(migrate(server.url(postgres_server.TEMPLATE)))
        server.sql(postgres_server.AS_NEW, postgres_server.TEMPLATE)
        yield server


@pytest.fixture
def postgresql_place(postgresql: postgres_server.PostgresServer) -> Iterator[Place]:
    from longstop.stores.postgres import PostgresStore, ServerSettings

    with postgresql.place() as url:
        yield lambda: PostgresStore(ServerSettings(url, relaxed=True))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server of the session's own."""
    if binary() is None:
        missing = "no redis-server or valkey-server on the PATH; Debian: apt-get install redis-server"
        if os.environ.get("LONGSTOP_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    # Not below pytest's folder: a socket's path has room for about 100 characters.
    with tempfile.TemporaryDirectory(prefix="longstop-redis-") as folder:
        server = RedisServer(Path(folder), QUICK, free_port())
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_place(redis_server: RedisServer) -> Place:
    prefix = f"test-{next(_NUMBERS)}"
    return lambda: RedisStore(redis_server.url, prefix=prefix, relaxed=True)


@pytest.fixture(scope="session")
def aws_emulator() -> Iterator[aws_server.AwsServer]:
    """The session's emulator of AWS: the one that EMULATOR names, or the one that is closer to it."""
    yield from _emulator(aws_server.chosen())


@pytest.fixture(scope="session")
def aws_second_opinion() -> Iterator[aws_server.AwsServer]:
    """moto, beside it."""
    yield from _emulator("moto")


def _emulator(kind: str) -> Iterator[aws_server.AwsServer]:
    aws_server.needed()
    with tempfile.TemporaryDirectory(prefix="longstop-aws-") as folder:
        server = aws_server.AwsServer(kind, Path(folder), free_port(), serial=kind == "moto")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def aws_place(
    aws_emulator: aws_server.AwsServer, aws_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    from longstop.aws_api.client import Patience
    from longstop.stores.aws import AwsStore, database

    # How long an emulator takes says nothing of the service, and a call that is made again is another test.
    monkeypatch.setattr(database, "PATIENCE", Patience(read_s=120, attempts=3))
    table = aws_emulator.table()
    yield lambda: AwsStore("eu-central-1", table, endpoint=aws_emulator.url, shards=2)
    aws_emulator.call("DynamoDB_20120810.DeleteTable", {"TableName": table})
