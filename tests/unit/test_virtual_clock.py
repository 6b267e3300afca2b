"""Virtual time: it jumps when everybody waits, stands still when somebody works, and never spins."""

import asyncio
import gc
import socket
import threading
import time

import pytest

from longstop.ports import Clock
from longstop.testing.clock import START_MS, StandingStill, VirtualClock, VirtualLoop, run

HOUR_S = 3_600


def test_an_hour_passes_at_once() -> None:
    async def main() -> int:
        clock: Clock = VirtualClock()
        await clock.sleep(HOUR_S)
        return clock.now_ms()

    began = time.monotonic()
    assert run(main) == START_MS + HOUR_S * 1_000
    # Far more than a jump takes and far less than an hour.
    assert time.monotonic() - began < 60


def test_takes_a_coroutine_and_a_start() -> None:
    async def main() -> int:
        return VirtualClock().now_ms()

    assert run(main(), start_ms=7) == 7


def test_timers_fire_in_order_at_their_exact_times() -> None:
    async def nap(seconds: float, log: list[tuple[int, float]]) -> None:
        await asyncio.sleep(seconds)
        log.append((VirtualClock().now_ms(), seconds))

    async def main() -> list[tuple[int, float]]:
        log: list[tuple[int, float]] = []
        await asyncio.gather(*(nap(seconds, log) for seconds in (5, 0.1, 0.3, 86_400 * 3, 0.25)))
        return log

    expected = [(100, 0.1), (250, 0.25), (300, 0.3), (5_000, 5), (86_400_000 * 3, 86_400 * 3)]
    assert run(main, start_ms=0) == expected


def test_milliseconds_do_not_drift() -> None:
    async def main() -> int:
        for _ in range(2_000):
            await asyncio.sleep(0.1)
        return VirtualClock().now_ms()

    assert run(main, start_ms=0) == 200_000


@pytest.mark.parametrize("years", [1, 30, 1_000])
def test_years_pass(years: int) -> None:
    async def main() -> int:
        await asyncio.sleep(years * 365 * 86_400)
        await asyncio.sleep(0.001)
        return VirtualClock().now_ms()

    assert run(main, start_ms=0) == years * 365 * 86_400_000 + 1


def test_time_stands_still_while_there_is_work() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: None)
        for _ in range(500):
            await asyncio.sleep(0)
        return loop.time()

    assert run(main) == 0


def test_a_timeout_fires_on_virtual_time() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        return VirtualClock().now_ms()

    assert run(main, start_ms=0) == 30_000


def test_a_thread_in_an_executor_beats_every_timer() -> None:
    async def main() -> tuple[str, float]:
        go = threading.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(threading.Timer(0.05, go.set).start)
        result = await asyncio.wait_for(asyncio.to_thread(lambda: go.wait() and "done"), 1)
        return str(result), loop.time()

    assert run(main) == ("done", 0.0)


def test_standstill_holds_timers_back() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        done = asyncio.Event()
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set)).start()
        with loop.standstill():
            await asyncio.wait_for(done.wait(), 1)
        still = loop.time()
        await asyncio.sleep(2)
        assert loop.time() == still + 2
        return still

    assert run(main) == 0


class Far:
    """Something that takes a while to answer, in a thread."""

    name = "far"

    async def ask(self, question: str) -> str:
        answered = asyncio.Event()
        threading.Timer(0.05, asyncio.get_running_loop().call_soon_threadsafe, [answered.set]).start()
        async with asyncio.timeout(1):
            await answered.wait()
        return f"{question}!"


def test_while_a_server_is_asked_no_time_passes() -> None:
    async def main() -> list[str]:
        far, said = StandingStill(Far()), []
        clock = VirtualClock()

        async def an_hour() -> None:
            await clock.sleep(3_600)
            said.append("an hour")

        hour = asyncio.create_task(an_hour())
        said.append(await far.ask("there"))
        assert clock.monotonic_ms() == 0
        await hour
        return [far.name, *said]

    assert run(main) == ["far", "there!", "an hour"]


def test_without_timers_it_waits_and_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    run_once = VirtualLoop._run_once  # type: ignore[attr-defined]

    def counted(loop: VirtualLoop) -> None:
        nonlocal turns
        turns += 1
        run_once(loop)

    monkeypatch.setattr(VirtualLoop, "_run_once", counted)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            threading.Timer(0.1, theirs.send, [b"late"]).start()
            return await loop.sock_recv(ours, 10)

    assert run(main) == b"late"
    assert turns < 50


def test_what_is_ready_comes_before_a_jump() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # The selector has to find it: sock_recv would read at once, without asking.
            loop.add_reader(ours, readable.set)
            theirs.send(b"now")
            await asyncio.wait_for(readable.wait(), 1)
            loop.remove_reader(ours)
        return loop.time()

    assert run(main) == 0


def test_what_is_to_end_the_test_ends_it_from_any_of_its_tasks() -> None:
    ended: list[str] = []

    async def works() -> None:
        await asyncio.sleep(5)
        pytest.fail("it took too long")

    async def main() -> None:
        working = asyncio.create_task(works())
        try:
            await asyncio.sleep(HOUR_S)
        except asyncio.CancelledError:
            ended.append("main")
            raise
        finally:
            assert working.done()

    with pytest.raises(pytest.fail.Exception, match="took too long"):
        run(main)
    assert ended == ["main"], "what it has open is closed"


def test_an_error_in_a_task_is_its_own_affair_and_asyncio_tells_of_it_where_nobody_asks() -> None:
    told: list[object] = []

    async def works() -> None:
        raise ValueError("a bug")

    async def main() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        asyncio.create_task(works())  # noqa: RUF006
        await asyncio.sleep(1)
        gc.collect()
        return "went on"

    assert run(main) == "went on"
    assert [str(each) for each in told] == ["a bug"]


def test_two_runs_are_alike() -> None:
    async def worker(name: int, log: list[tuple[int, int]]) -> None:
        for step in range(20):
            await asyncio.sleep((name * 37 + step * 11) % 13 / 10)
            log.append((VirtualClock().now_ms(), name))

    async def main() -> list[tuple[int, int]]:
        log: list[tuple[int, int]] = []
        await asyncio.gather(*(worker(name, log) for name in range(10)))
        return log

    assert run(main) == run(main)


async def test_outside_virtual_time_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="needs a VirtualLoop"):
        VirtualClock().now_ms()
