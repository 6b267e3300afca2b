"""The server with its connections, and the inside of every transaction. The parts of the store inherit it.

Connections come from a pool that makes them when they are asked for, again and again where the server was away. What
reads has a share of it only, and handlers within the store's transaction have a pool of their own, so that neither
keeps an append from its connection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres import durability, health, schema, text
from longstop.stores.postgres.arrivals import Arrivals, pause
from longstop.stores.postgres.failures import BROKEN, AnswerLostError, may_try_again, translated
from longstop.stores.postgres.floors import Floors
from longstop.stores.postgres.folding import FOLD, Folding
from longstop.stores.postgres.hosts import Hosts
from longstop.stores.postgres.statements import unsynced
from longstop.stores.postgres.watch import TAKES_WRITES, Watch

T = TypeVar("T")
Work = Callable[[asyncpg.Connection], Awaitable[T]]

ROUNDS = 5
"""So often a transaction is begun again that PostgreSQL ended because another one came in between."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a store reaches its server. `url` is a libpq URL; asyncpg reads it (passwords and TLS included). It may name
    several hosts, of which the one is looked for that takes writes."""

    url: str = field(repr=False)
    schema: str = "longstop"
    relaxed: bool = False
    """A server that may lose what it has confirmed is good enough."""
    pooled: bool = False
    """A PgBouncer in transaction mode stands between: nothing outlives a transaction, not even a prepared statement."""
    connections: int = 8
    """At most so many; half of them for what only reads. As many more for transactional handlers, while they run."""
    connect_s: float = 5.0
    """How long a connection may take to be made, or to come free."""
    statement_s: float = 15.0
    lock_s: float = 5.0
    idle_s: float = 15.0
    """For so long a transaction may stand open between two statements."""
    poll_s: float = 1.0
    """How often to look for what other processes have appended, beside being told."""

    def session(self) -> dict[str, str]:
        """What holds on every connection.

        The plans: no statement of ours is better off reading a whole table, joining two of them whole, or sorting all
        that it finds of an index. A planner that has not seen a table since it was empty would think so, for as long as
        it keeps the plan. And where pages cost next to nothing it chooses what looks at the fewest rows: by its own
        costs it goes through the newest of all rows, which lie side by side, to find a few of one destination, and
        never finds one where they are old (tests/contract/test_postgres_looked_at.py). One plan for all values: it
        looks up the spans when it is carried out, and a plan for each would take longer than what it is for.
        """
        return {
            "search_path": f'"{self.schema}"',
            "statement_timeout": f"{round(self.statement_s * 1000)}",
            "lock_timeout": f"{round(self.lock_s * 1000)}",
            "idle_in_transaction_session_timeout": f"{round(self.idle_s * 1000)}",
            # A database may have another one by default, and what is read under a lock would be from before it.
            "default_transaction_isolation": "read committed",
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "random_page_cost": "0.01",
            "seq_page_cost": "0.01",
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
        }


class PostgresDatabase:
    """One schema of one database. Any number of processes may open it at once."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None
        self._handlers: asyncpg.Pool | None = None
        self._handler_threads = self._new_threads()
        self._hosts = Hosts(settings.url)
        self._readers = asyncio.Semaphore(max(1, settings.connections // 2))
        self._arrivals = Arrivals(self._connect, settings.schema, settings.poll_s, listens=not settings.pooled)
        self._watch = Watch(self._takes_writes)
        self._folding = Folding(self._fold)
        self._health = health.Watch(settings.relaxed)
        self.floors = Floors()
        # Not SET LOCAL, to which a quoted name in quotes is a name with quotes in it.
        each = (f"set_config('{name}', '{value}', true)" for name, value in settings.session().items())
        self._set_local = f"SELECT {', '.join(each)}"

    async def open(self) -> None:
        """Connect, create or migrate. Raises SchemaError, StoreUnavailableError."""
        if self._pool is not None:
            return
        with translated(StoreUnavailableError):
            connection = await self._connect()
            try:
                await self._migrate(connection)
                await schema.refuse_newer(connection, self._settings.schema)
            finally:
                await _let_go(connection)
            self._pool, self._handlers = await self._new_pool(), await self._new_pool()
        self._arrivals.begin()
        self._watch.begin()
        self._folding.begin()

    async def _migrate(self, connection: asyncpg.Connection) -> None:
        for left in reversed(range(schema.TRIES)):
            try:
                async with self._transaction(connection):
                    await schema.prepare(connection, self._settings.schema)
            except asyncpg.LockNotAvailableError:
                if not left:
                    raise
                await pause(schema.PAUSE_S)
            else:
                return

    async def close(self) -> None:
        """Finish what was begun and let go."""
        pools = [each for each in (self._pool, self._handlers) if each is not None]
        self._pool = self._handlers = None
        await self._arrivals.end()
        await self._watch.end()
        await self._folding.end()
        threads, self._handler_threads = self._handler_threads, self._new_threads()
        threads.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            try:
                async with asyncio.timeout(self._settings.connect_s):
                    await pool.close()
            except (*BROKEN, asyncpg.PostgresError):
                pool.terminate()

    def _new_threads(self) -> ThreadPoolExecutor:
        # Not the loop's own, in which large bodies are verified: a handler that hangs keeps its thread.
        return ThreadPoolExecutor(self._settings.connections, thread_name_prefix="longstop-transaction")

    async def _new_pool(self) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            connect=lambda *_, **__: self._connect(),
            min_size=0,
            max_size=self._settings.connections,
            reset=_leave_as_it_is,
        )

    async def _fold(self) -> None:
        await self.transact(unsynced(lambda connection: connection.execute(FOLD)))

    def ready(self) -> bool:
        """See ports.Store."""
        return self._pool is not None and self._watch.is_well()

    commits_at_once = 1

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._arrivals.on_arrival(wake)

    # -- for the parts ------------------------------------------------------------------------

    async def rows(self, sql: str, *args: object) -> Sequence[asyncpg.Record]:
        """The rows of one statement, which is a transaction by itself."""
        if self._settings.pooled:
            return await self.transact(lambda connection: connection.fetch(sql, *args))

        async def fetch(connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
            found: Sequence[asyncpg.Record] = await connection.fetch(sql, *args)
            return found

        return await self._again(fetch)

    async def transact(self, work: Work[T]) -> T:
        """`work` in a transaction of READ COMMITTED: each statement sees what was committed before it began.

        Begun anew where it came between another one, so `work` may be called more than once.
        Raises AnswerLostError, a StoreUnavailableError, where nobody knows whether it was committed.
        """

        return await self._again(lambda connection: self._whole(connection, work))

    async def transact_once(self, work: Work[T]) -> T:
        """The same, for `work` that is not to be called again and may take long; it waits until there is a connection.

        Raises StoreUnavailableError where it was in the way.
        """
        try:
            async with self._acquired(self._handlers, None) as connection:
                with translated():
                    return await self._whole(connection, work)
        except Exception as error:
            if may_try_again(error):
                raise StoreUnavailableError(f"PostgreSQL: {error}") from error
            raise

    async def _whole(self, connection: asyncpg.Connection, work: Work[T]) -> T:
        async with self._transaction(connection):
            return await work(connection)

    async def view(self, work: Work[T]) -> T:
        """`work`, which only reads, over one snapshot."""

        async def whole(connection: asyncpg.Connection) -> T:
            async with self._transaction(connection, "repeatable_read", readonly=True):
                return await work(connection)

        async with self._readers:
            return await self._again(whole)

    async def look(self, sql: str, *args: object) -> Sequence[asyncpg.Record]:
        """The rows of one statement that only reads."""
        async with self._readers:
            return await self.rows(sql, *args)

    async def _takes_writes(self) -> bool:
        ((it,),) = await self.rows(TAKES_WRITES)
        if it and not self._settings.relaxed:
            # What a server is told while we are connected holds on our connections, too.
            (found,) = await self.rows(durability.SETTINGS)
            it = not durability.off_in(found)
        if not it and self._pool is not None:
            # Whoever takes its place is found by new ones, and one that forgets is refused by them.
            await self._pool.expire_connections()
            if self._handlers is not None:
                await self._handlers.expire_connections()
        return bool(it)

    # -- connections --------------------------------------------------------------------------

    async def _again(self, work: Work[T]) -> T:
        for _ in range(ROUNDS - 1):
            try:
                return await self._once(work)
            except Exception as error:
                if not may_try_again(error):
                    raise
        try:
            return await self._once(work)
        except Exception as error:
            if may_try_again(error):
                raise StoreUnavailableError(f"PostgreSQL: {error}") from error
            raise

    async def _once(self, work: Work[T]) -> T:
        async with self._acquired(self._pool, self._settings.connect_s) as connection:
            with translated():
                return await work(connection)

    @contextlib.asynccontextmanager
    async def _acquired(self, pool: asyncpg.Pool | None, within_s: float | None) -> AsyncIterator[asyncpg.Connection]:
        if pool is None:
            raise StoreUnavailableError("PostgreSQL: the store is not open")
        with translated(StoreUnavailableError):
            connection = await pool.acquire(timeout=within_s)
        try:
            yield connection
        except AnswerLostError:
            # Nobody knows what it is still at.
            with contextlib.suppress(asyncpg.InterfaceError, asyncpg.InternalClientError):
                connection.terminate()
            raise
        finally:
            with contextlib.suppress(*BROKEN, asyncpg.PostgresError):
                await pool.release(connection)

    @contextlib.asynccontextmanager
    async def _transaction(
        self, connection: asyncpg.Connection, isolation: str = "read_committed", *, readonly: bool = False
    ) -> AsyncIterator[None]:
        async with connection.transaction(isolation=isolation, readonly=readonly):
            if self._settings.pooled:
                await connection.execute(self._set_local)
            yield

    async def _connect(self) -> asyncpg.Connection:
        connection = await self._hosts.connect(self._connect_to, self._settings.connect_s)
        try:
            # In a transaction: a pooler could hand each step of a statement to another connection of the server.
            async with connection.transaction():
                await durability.refuse_what_forgets(connection, self._settings.relaxed)
                await text.set_codecs(connection)
        except BaseException:
            await _let_go(connection)
            raise
        return connection

    async def _connect_to(self, url: str, within_s: float) -> asyncpg.Connection:
        settings = self._settings
        return await asyncpg.connect(
            url,
            timeout=within_s,
            command_timeout=settings.statement_s + settings.lock_s,
            statement_cache_size=0 if settings.pooled else 500,
            target_session_attrs="read-write",
            server_settings={"application_name": "longstop"} | ({} if settings.pooled else settings.session()),
        )


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """What a connection is set to holds as long as it lives, and nothing else outlives a transaction of ours."""


async def _let_go(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (*BROKEN, asyncpg.PostgresError):
        connection.terminate()
