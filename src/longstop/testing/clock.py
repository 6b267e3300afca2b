"""Virtual time: an event loop that jumps to its next timer instead of waiting for it.

An hour of sleep passes at once, always the same way:

    from longstop.testing.clock import VirtualClock, run

    async def nap() -> int:
        clock = VirtualClock()
        await clock.sleep(3600)
        return clock.now_ms()

    assert run(nap, start_ms=0) == 3_600_000

Time moves only while everybody waits. It stands still while a function runs in an executor, within
`VirtualLoop.standstill()`, and during the calls of what stands in a `StandingStill`; for the rest, what another thread
or process is about to do counts as nothing: a timer that is set meanwhile fires first.

What is meant to end a whole test (`pytest.fail`, a test's time limit) ends it here also where it is raised in one of
its tasks. In any other loop only the task would be gone, and the test would go on without it.
"""

import asyncio
import inspect
import math
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Coroutine = Generator[Any, None, T] | Coroutine[Any, Any, T]

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when virtual time begins unless told otherwise."""


_ASYNCIO_RAISES = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""Those that are no Exception and that asyncio knows what to do with."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is an account of what its timers asked for.

    Where neither a callback nor a timer is left, it waits for file descriptors and threads as any loop does.
    """

    def __init__(self, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        # Whole nanoseconds: adding up floats would drift away from the milliseconds people compute with.
        self._elapsed_ns = 0
        self._standing = 0
        self._ended_by: BaseException | None = None
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._elapsed_ns / 1e9

    def now_ms(self) -> int:
        """Virtual milliseconds since the Unix epoch, UTC, to the nearest.

        To the nearest, because a timer's float may lie a few nanoseconds before the millisecond it means.
        """
        return self._start_ms + self.elapsed_ms()

    def elapsed_ms(self) -> int:
        """Virtual milliseconds since the loop was made, to the nearest."""
        return (self._elapsed_ns + 500_000) // 1_000_000

    def set_wall(self, by_ms: int) -> None:
        """Set the wall clock forward, or back where it is negative. No timer notices."""
        self._start_ms += by_ms

    def jump(self, seconds: float) -> None:
        """Move time forward. Timers that become due by it run in the loop's next turn."""
        # At least one nanosecond, or a timer closer than that would never be reached.
        self._elapsed_ns += max(1, round(seconds * 1e9))
        # asyncio runs timers before time() + resolution; after a few months a nanosecond more is the same float,
        # and a timer that is due exactly now would neither run nor be waited for.
        self._clock_resolution = max(1e-9, 2 * math.ulp(self.time()))

    @property
    def may_jump(self) -> bool:
        """Whether nothing keeps time from moving."""
        return self._standing == 0

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Time stands still within: for waiting on threads of one's own (a database's) without racing timers."""
        self._standing += 1
        try:
            yield
        finally:
            self._standing -= 1

    def create_task(self, coro: _Coroutine[T], **options: Any) -> asyncio.Task[T]:
        """As any loop does it; a task that ends with an exception which is no Exception ends the run."""
        task = super().create_task(coro, **options)
        task.add_done_callback(self._look_at_its_end)
        return task

    def _look_at_its_end(self, task: asyncio.Task[Any]) -> None:
        # Not by exception(): asyncio would take it for looked at, and not tell of those that nobody asks for.
        error = task._exception
        if error is not None and not isinstance(error, (Exception, *_ASYNCIO_RAISES)):
            self._ended_by = error
            self.stop()

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """As any loop does it. Raises, too, what a task ended with that is no Exception."""
        try:
            return super().run_until_complete(future)
        except RuntimeError:
            error, self._ended_by = self._ended_by, None
            if error is None:
                raise
            raise error from None

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As any loop does it; time stands still until the function has returned or was given up."""
        future = super().run_in_executor(executor, func, *args)
        still = self.standstill()
        still.__enter__()
        future.add_done_callback(lambda _: still.__exit__(None, None, None))
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Waits for the executor's threads, however long: a limit in virtual time would be over at once."""
        with self.standstill():
            await super().shutdown_default_executor()


class _JumpingSelector(selectors.DefaultSelector):
    """Polls instead of waiting, and moves the loop's time by what it would have waited."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or not self._loop.may_jump:
            return super().select(None)
        self._loop.jump(timeout)
        return []


class VirtualClock:
    """The Clock port over the running VirtualLoop. Holds nothing: it may be made anywhere and shared."""

    def now_ms(self) -> int:
        """Virtual milliseconds since the Unix epoch, UTC. Raises RuntimeError outside a VirtualLoop."""
        return _virtual_loop().now_ms()

    def monotonic_ms(self) -> int:
        """Virtual milliseconds since the loop was made: `jump` does not move them. Raises RuntimeError as `now_ms`."""
        return _virtual_loop().elapsed_ms()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back where it is negative, as a time sync does; no time goes by.

        Raises RuntimeError as `now_ms`.
        """
        _virtual_loop().set_wall(round(seconds * 1000))

    async def sleep(self, seconds: float) -> None:
        """Come back after so many virtual seconds."""
        await asyncio.sleep(seconds)


class StandingStill:
    """What asks a server (a store, say), as virtual time takes it: while one of its calls is under way, none passes.

    Everything else of it is as it is. The order in which a server answers several that ask at once is its own, so a
    seed is not quite the same world each time.
    """

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._behind, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **options: Any) -> Any:
            with _virtual_loop().standstill():
                return await found(*args, **options)

        return call


def _virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(
            f"VirtualClock was asked for the time in a {type(loop).__name__}; it needs a VirtualLoop: "
            "start the coroutine with longstop.testing.clock.run"
        )
    return loop


def run(main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]], start_ms: int = START_MS) -> T:
    """Run a coroutine, or what a function without arguments makes, in a new VirtualLoop; its result."""
    coroutine = main() if callable(main) else main
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_ms)) as runner:
        return runner.run(coroutine)
