"""The server and the way to it: connections, the library of functions, and calls that are carried out once.

An answer may be lost: the server was killed, or the network was cut, after the call had gone out. Then the same call
is made again, under the same number, until it is answered or PATIENCE_S is over. The functions know the number
(functions/base.lua): one that was carried out is not carried out again, and its answer is told once more.
"""

import asyncio
import contextlib
import secrets
import types
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.stores.redis.arrivals import Arrivals
from longstop.stores.redis.durability import is_replica, refuse_unsafe
from longstop.stores.redis.library import FORMAT, commands, library
from longstop.stores.redis.places import Places
from longstop.stores.redis.replicas import Replicas
from longstop.stores.redis.slots import Slot, Slots

T = TypeVar("T")

Argument = str | bytes | int

CONNECTIONS_MAX = 16
"""So many calls at a time; others wait for one of them."""
ANSWER_S = 3.0
"""A server that has not answered a call by then is slow beyond use."""
PATIENCE_S = 3.0
"""For so long a call whose answer was lost is made again."""
MOVES_MAX = 8
"""One call is sent from server to server so often at most."""
PAUSE_S = 0.05
"""Between one try and the next."""

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)
"""What leaves it open whether a call was carried out."""


class RedisDatabase:
    """One server, or cluster, and one prefix of keys. Several processes may use it at once. The parts of the store
    inherit it.

    url: redis://, rediss:// or unix://, as redis-py reads it. others: of servers that may have taken its place.
    relaxed: whether a server may be used that can lose what it has acknowledged. replicas: so many of them have what
    was written before a call returns.
    """

    def __init__(
        self,
        url: str,
        *,
        others: Sequence[str] = (),
        prefix: str = "longstop",
        relaxed: bool = False,
        replicas: int = 0,
    ) -> None:
        super().__init__()
        self._prefix = f"{{{prefix}}}:"
        self._relaxed = relaxed
        self._replicas = Replicas(replicas)
        self._name = secrets.token_hex(6)
        self._library, self._library_text = library()
        self._slots = Slots(f"{self._prefix}answer:{self._name}:")
        self._places = Places((url, *others))
        self._pool = _pool(url, CONNECTIONS_MAX)
        self._wakes: list[Callable[[], None]] = []
        self._arrivals = Arrivals(
            lambda: _pool(self._places.url, 1), f"{self._prefix}arrivals", self._name.encode(), self._wake
        )
        self._open = False
        self._trusted = False
        """The server was asked, since it was last lost, whether it keeps what it acknowledges."""
        self._takes_writes = True
        """What it said to the last write; every process writes each few seconds that it is there."""
        self._given_up: dict[str, str] = {}
        """Its settings by which it may lose that, where the URL allows it."""

    async def open(self) -> None:
        """Ask the server whether it is one to rely on. Raises SchemaError, StoreUnavailableError."""
        self._open = True
        try:
            kept = await self._command("GET", f"{self._prefix}format")
            if kept is None:
                await self._command("SET", f"{self._prefix}format", FORMAT, "NX")
            elif int(kept) > FORMAT:
                raise SchemaError(
                    f"the store on this Redis is of format {int(kept)} and this version knows {FORMAT};"
                    " use the newer version of Longstop that made it"
                )
            await self._refuse_user()
        except BaseException:
            self._open = False
            await self._pool.disconnect()
            raise
        await self._arrivals.listen()

    async def _refuse_user(self) -> None:
        refused = [each.decode() for each in await self.ask("refused", *commands())]
        if refused:
            raise StoreUnavailableError(
                f"the user that store.url names may do too little: found that Redis refuses it {', '.join(refused)}"
                f" with the keys or the channels {self._prefix}…; expected what"
                f" ACL SETUSER NAME ~{self._prefix}* &{self._prefix}* +@all allows"
            )

    async def close(self) -> None:
        """Finish what was begun and let go."""
        if not self._open:
            return
        await self._arrivals.close()
        with contextlib.suppress(StoreUnavailableError):
            await self.pipeline(*(("UNLINK", key) for key in self._slots.all_keys()))
        self._open = False
        await self._pool.disconnect()

    def ready(self) -> bool:
        """See ports.Store."""
        return self._open and self._trusted and self._takes_writes

    commits_at_once = 4
    """What has come in while it synced is synced together."""

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)

    # -- calls --------------------------------------------------------------------------------

    async def call(self, function: str, *args: Argument) -> Any:
        """Call a function that writes, once. Raises StoreUnavailableError; ValueError where an id is taken."""
        with self._slots.taken() as slot:
            number = slot.next_number()
            try:
                enlisted, result = await self._until_known(lambda: self._write(function, slot, number, args))
            except StoreUnavailableError:
                # A server that has become a replica, or is full, answers questions still.
                self._takes_writes = False
                raise
            self._takes_writes = True
        if enlisted:
            self._wake()
        return result

    async def ask(self, function: str, *args: Argument) -> Any:
        """Call a function that only reads. Raises StoreUnavailableError."""
        (answer,) = await self._until_known(lambda: self._function("FCALL_RO", function, args))
        return answer

    async def pipeline(self, *commands: Sequence[Argument]) -> list[Any]:
        """Send commands that only read, together; their answers. Raises StoreUnavailableError."""
        if not commands:
            return []
        return await self._until_known(lambda: self._translated(self._send(commands)))

    async def _command(self, *command: Argument) -> Any:
        return (await self.pipeline(command))[0]

    async def _write(self, function: str, slot: Slot, number: int, args: Sequence[Argument]) -> Any:
        call = (slot.key, number, self._name, *args)
        answer, *reached = await self._function("FCALL", function, call, *self._replicas.commands)
        missing = self._replicas.missing(reached)
        if missing is not None:
            raise _LostError(missing)
        return answer

    async def _function(
        self, command: str, function: str, args: Sequence[Argument], *behind: Sequence[Argument]
    ) -> list[Any]:
        call = (command, f"{self._library}_{function}", 1, self._prefix, *args)
        try:
            return await self._translated(self._send([call, *behind]))
        except _NoLibraryError:
            await self._translated(self._send([("FUNCTION", "LOAD", "REPLACE", self._library_text)]))
            return await self._translated(self._send([call, *behind]))

    async def _until_known(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it is known whether it was done."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        lost, moves = False, 0
        while True:
            tried = self._places.url
            try:
                return await attempt()
            except _ElsewhereError as error:
                moves += 1
                # Of many calls that a server turns away one moves, and the others go where that is.
                if moves <= MOVES_MAX and (self._places.url != tried or await self._move(error.address)):
                    continue
                if not lost or loop.time() >= until_s:
                    raise
                moves = 0
            except _AwayError:
                if not lost or loop.time() >= until_s:
                    raise
            except _LostError:
                lost = True
                if loop.time() >= until_s:
                    raise
            await self._pause()

    async def _move(self, address: str | None) -> bool:
        """Turn to another server; whether there is one."""
        if address is not None:
            self._places.go_to(address)
        elif not self._places.go_on():
            return False
        before, self._pool = self._pool, _pool(self._places.url, CONNECTIONS_MAX)
        self._trusted = False
        await before.disconnect(inuse_connections=False)
        return True

    async def _pause(self) -> None:
        passed = asyncio.get_running_loop().create_future()
        handle = asyncio.get_running_loop().call_later(PAUSE_S, passed.set_result, None)
        try:
            await passed
        finally:
            handle.cancel()

    # -- the wire -----------------------------------------------------------------------------

    async def _translated(self, sending: Awaitable[T]) -> T:
        """What the driver raises, as the errors of the store's callers. None of them has the password in it."""
        try:
            return await sending
        except StoreUnavailableError:
            raise
        except ResponseError as error:
            raise _refusal(error) from None
        except (RedisError, OSError) as error:
            self._trusted = False
            raise _ElsewhereError(f"Redis cannot be reached: {error or type(error).__name__}") from None

    async def _send(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send commands together and read their answers; the first error among them is raised, all are read."""
        if not self._open:
            raise _AwayError("the store is closed")
        cancelled = _cancelled()
        if cancelled:
            # Asked for while this task ran, it comes where the task first waits: here, and not within the driver.
            await _turn()
        pool = self._pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            if not self._trusted:
                if await is_replica(connection):
                    raise _ElsewhereError("this Redis is a replica, which cannot be written to")
                self._given_up = await refuse_unsafe(connection, self._relaxed)
                await self._replicas.look(connection)
                # Somebody may have turned to another server meanwhile, which was not asked.
                self._trusted = self._pool is pool
            answers = await self._exchange(connection, commands)
        finally:
            await pool.release(connection)
        if _cancelled() > cancelled:
            # The driver sends by `asyncio.wait_for`, and that loses a cancellation on Python 3.11.
            raise asyncio.CancelledError
        return answers

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            answers = [await _answer(connection) for _ in commands]
        except BusyLoadingError:
            raise
        except _LOST as error:
            self._trusted = False
            raise _LostError(f"Redis has not answered, and may have done it: {error or type(error).__name__}") from None
        except BaseException:
            # Cancelled: an answer that nobody has read must not be the next caller's.
            await connection.disconnect(nowait=True)
            raise
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()


class _AwayError(StoreUnavailableError):
    """Nothing was sent, or the server says that it did nothing."""


class _ElsewhereError(_AwayError):
    """Nothing was done, and another server may do it: the one at `address`, or any that the URL names."""

    def __init__(self, text: str, address: str | None = None) -> None:
        super().__init__(text)
        self.address = address


class _LostError(StoreUnavailableError):
    """It was sent, and no answer came."""


class _NoLibraryError(StoreUnavailableError):
    """The server does not know the function."""


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the loop go round once."""
    yield


def _cancelled() -> int:
    """How often the task that runs was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _refusal(error: ResponseError) -> Exception:
    """What the server's own words mean for the caller."""
    said = str(error)
    if "unction not found" in said:
        return _NoLibraryError("Redis does not know the store's functions")
    if isinstance(error, MovedError):
        address = f"{error.host}:{error.port}"
        return _ElsewhereError(f"the keys are on another node of the cluster: {address}", address)
    if isinstance(error, ReadOnlyError | ClusterDownError):
        return _ElsewhereError(f"Redis refuses: {said}")
    if isinstance(error, AskError):
        return _AwayError("the cluster is moving the keys' slot to another node: refused until all of it is there")
    if said.startswith("TAKEN"):
        return ValueError(f"an event or delivery id in this batch is used twice or is already kept: {said[6:]}")
    return _AwayError(f"Redis refuses: {said}")


def _pool(url: str, connections: int) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
