"""The Python sender: what a handler's return, exception, delay or misbehaviour comes to."""

import asyncio
import contextvars
import functools
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longstop.model.delivery import Delivery, Outcome, OutcomeKind, State
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.handler import Reject, RetryLater
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders.python import ERROR_CHARS, PythonSender, expect_takes, resolve_handler

SUCCESS = Outcome(OutcomeKind.SUCCESS)
EVENT = Event(id="e", source="genesys", received_at_ms=0, body=b"{}")
CLAIM = Claim(
    Delivery(
        id="d",
        event_id="e",
        source="genesys",
        type=None,
        key=None,
        received_at_ms=0,
        destination="crm",
        state=State.LEASED,
        due_at_ms=0,
    ),
    EVENT,
)


def sender(handler: Callable[[Event], Any], timeout_ms: int = 10_000, concurrency: int = 2) -> PythonSender:
    return PythonSender(DestinationSettings(name="crm", timeout_ms=timeout_ms, concurrency=concurrency), handler)


async def handled(handler: Callable[[Event], Any], **given: Any) -> Outcome:
    made = sender(handler, **given)
    try:
        return await asyncio.wait_for(made.send(CLAIM, 1), 20)
    finally:
        await made.close()


def raising(error: BaseException, in_loop: bool) -> Callable[[Event], Any]:
    def sync(event: Event) -> None:
        raise error

    async def in_the_loop(event: Event) -> None:
        raise error

    return in_the_loop if in_loop else sync


both = pytest.mark.parametrize("in_loop", [True, False], ids=["async", "sync"])


# -- how it is called -----------------------------------------------------------------------------


async def test_an_async_handler_runs_in_the_loop_with_the_event() -> None:
    seen: list[tuple[Event, threading.Thread]] = []

    async def handler(event: Event) -> str:
        seen.append((event, threading.current_thread()))
        return "not looked at"

    assert await handled(handler) == SUCCESS
    assert seen == [(EVENT, threading.current_thread())]


async def test_a_sync_handler_runs_in_a_thread_of_its_own_pool() -> None:
    seen: list[tuple[Event, str]] = []
    assert await handled(lambda event: seen.append((event, threading.current_thread().name))) == SUCCESS
    assert [(event, name.startswith("longstop-crm")) for event, name in seen] == [(EVENT, True)]


class AsyncCallable:
    def __init__(self) -> None:
        self.thread: threading.Thread | None = None

    async def __call__(self, event: Event) -> None:
        self.thread = threading.current_thread()


async def test_every_form_of_an_async_handler_is_awaited_in_the_loop() -> None:
    threads: list[threading.Thread] = []

    async def handler(prefix: str, event: Event) -> None:
        threads.append(threading.current_thread())

    instance = AsyncCallable()
    for form in (functools.partial(handler, "x"), lambda event: handler("x", event), instance):
        assert await handled(form) == SUCCESS
    assert [*threads, instance.thread] == [threading.current_thread()] * 3


async def test_a_coroutine_that_a_sync_function_made_can_fail_too() -> None:
    reject = raising(Reject("no"), in_loop=True)

    def sync(event: Event) -> Any:
        return reject(event)

    outcome = await handled(sync)
    assert outcome.kind is OutcomeKind.REJECT


async def test_sync_handlers_run_side_by_side_up_to_the_concurrency() -> None:
    meeting = threading.Barrier(2, timeout=10)
    made = sender(lambda event: meeting.wait(), concurrency=2)
    outcomes = await asyncio.gather(made.send(CLAIM, 1), made.send(CLAIM, 1))
    assert list(outcomes) == [SUCCESS, SUCCESS]
    await made.close()


async def test_the_context_reaches_a_thread() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    variable.set("set")
    await handled(lambda event: seen.append(variable.get()))
    assert seen == ["set"]


# -- what it says ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            RetryLater(after=60),
            Outcome(OutcomeKind.RETRY, error="the handler asked to be called again", retry_after_s=60),
        ),
        (RetryLater(0.5, "CRM is full"), Outcome(OutcomeKind.RETRY, error="CRM is full", retry_after_s=0.5)),
        (RetryLater(), Outcome(OutcomeKind.RETRY, error="the handler asked to be called again")),
        (Reject("no such customer"), Outcome(OutcomeKind.REJECT, error="no such customer")),
        (Reject(), Outcome(OutcomeKind.REJECT, error="rejected by the handler")),
        (ValueError("bad field"), Outcome(OutcomeKind.RETRY, error="ValueError: bad field", raised=True)),
        (KeyError("id"), Outcome(OutcomeKind.RETRY, error="KeyError: 'id'", raised=True)),
        (RuntimeError(), Outcome(OutcomeKind.RETRY, error="RuntimeError", raised=True)),
        (TimeoutError("the CRM's"), Outcome(OutcomeKind.RETRY, error="TimeoutError: the CRM's", raised=True)),
        (OSError("\udc80"), Outcome(OutcomeKind.RETRY, error="OSError: ?", raised=True)),
        (SystemExit(1), Outcome(OutcomeKind.RETRY, error="SystemExit: 1", raised=True)),
        (KeyboardInterrupt(), Outcome(OutcomeKind.RETRY, error="KeyboardInterrupt", raised=True)),
        (asyncio.CancelledError(), Outcome(OutcomeKind.RETRY, error="CancelledError", raised=True)),
    ],
)
async def test_an_exception_says_what_becomes_of_the_delivery(
    error: BaseException, outcome: Outcome, in_loop: bool
) -> None:
    assert await handled(raising(error, in_loop)) == outcome


@both
async def test_stop_iteration_ends_an_attempt_like_any_other_exception(in_loop: bool) -> None:
    outcome = await handled(raising(StopIteration("done"), in_loop))
    assert outcome.kind is OutcomeKind.RETRY
    assert "StopIteration" in (outcome.error or "")


@both
async def test_a_long_error_is_cut(in_loop: bool) -> None:
    for error in (ValueError("x" * 10_000), Reject("x" * 10_000), RetryLater(why="x" * 10_000)):
        assert len((await handled(raising(error, in_loop))).error or "") == ERROR_CHARS


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class LaterByHalf(RetryLater):
    def __init__(self) -> None:
        """Does not call the base's."""


@both
async def test_exceptions_that_are_broken_themselves_are_retried(in_loop: bool) -> None:
    assert await handled(raising(Unprintable(), in_loop)) == Outcome(
        OutcomeKind.RETRY, error="Unprintable", raised=True
    )
    assert (await handled(raising(LaterByHalf(), in_loop))).retry_after_s is None


@pytest.mark.parametrize("after", [-1, math.nan, math.inf])
def test_retry_later_takes_only_a_length_of_time(after: float) -> None:
    with pytest.raises(ValueError, match="expected seconds"):
        RetryLater(after=after)


# -- time -----------------------------------------------------------------------------------------


async def test_an_async_handler_past_its_time_is_cancelled_and_retried() -> None:
    cancelled: list[bool] = []

    async def handler(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    outcome = await handled(handler, timeout_ms=50)
    assert outcome == Outcome(OutcomeKind.RETRY, error="timeout: the handler was not done after 0.05 s")
    assert cancelled == [True]


async def test_a_handler_that_fails_while_it_is_timed_out_is_a_timeout() -> None:
    async def handler(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    outcome = await handled(handler, timeout_ms=50)
    assert (outcome.error or "").startswith("timeout: ")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hung thread waits for; opened at the end, so that no thread outlives its test."""
    made = threading.Event()
    yield made
    made.set()


async def test_a_sync_handler_past_its_time_is_retried_though_its_thread_goes_on(gate: threading.Event) -> None:
    outcome = await handled(lambda event: gate.wait(30), timeout_ms=50)
    assert outcome == Outcome(OutcomeKind.RETRY, error="timeout: the handler was not done after 0.05 s")


async def test_an_attempt_that_waits_for_a_hung_thread_is_timed_out_and_never_run(gate: threading.Event) -> None:
    calls: list[Event] = []
    done = threading.Event()

    def handler(event: Event) -> None:
        calls.append(event)
        gate.wait(30)
        done.set()

    made = sender(handler, timeout_ms=50, concurrency=1)
    outcomes = [await made.send(CLAIM, 1), await made.send(CLAIM, 2)]
    gate.set()
    await asyncio.to_thread(done.wait, 10)
    await made.close()
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.RETRY] * 2
    assert calls == [EVENT]


@both
async def test_a_cancelled_send_is_cancelled(in_loop: bool, gate: threading.Event) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sync(event: Event) -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(30)

    async def in_the_loop(event: Event) -> None:
        begun.set()
        await asyncio.Event().wait()

    made = sender(in_the_loop if in_loop else sync)
    sending = asyncio.create_task(made.send(CLAIM, 1))
    await begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await made.close()
    await made.close()


async def test_closing_drops_what_no_thread_has_begun(gate: threading.Event) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    calls: list[Event] = []

    def handler(event: Event) -> None:
        calls.append(event)
        loop.call_soon_threadsafe(begun.set)
        gate.wait(30)

    made = sender(handler, concurrency=1)
    running, waiting = (asyncio.create_task(made.send(CLAIM, 1)) for _ in range(2))
    await begun.wait()
    await made.close()
    assert (await waiting).kind is OutcomeKind.RETRY
    gate.set()
    assert (await running, calls) == (SUCCESS, [EVENT])


# -- finding the handler --------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package with a handler, and with modules that cannot be imported."""
    root = tmp_path / "handlers_of_a_test"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "crm.py").write_text(
        "LIMIT = 3\n\ndef update(event): ...\n\nclass Crm:\n    @staticmethod\n    def update(event): ...\n"
    )
    (root / "needy.py").write_text("import a_library_that_is_nowhere\n")
    (root / "broken.py").write_text("raise ValueError('no CRM_URL')\n")
    (root / "script.py").write_text("raise SystemExit(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return root.name


@pytest.mark.parametrize("name", ["update", "Crm.update"])
def test_a_handler_is_found_by_module_and_name(package: str, name: str) -> None:
    found = resolve_handler(f"{package}.crm:{name}")
    assert (found.__module__, found.__qualname__) == (f"{package}.crm", name)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("crm", "expected package.module:function"),
        ("crm:", "expected package.module:function"),
        (":update", "expected package.module:function"),
        ("PACKAGE.nothing:update", "there is no module PACKAGE.nothing; is it installed"),
        ("nowhere_at_all.crm:update", "there is no module nowhere_at_all; is it installed"),
        ("PACKAGE.needy:update", "module PACKAGE.needy needs a_library_that_is_nowhere, which is not installed"),
        ("PACKAGE.broken:update", "importing PACKAGE.broken failed: ValueError: no CRM_URL"),
        ("PACKAGE.script:update", "importing PACKAGE.script failed: SystemExit: 2"),
        ("..crm:update", "importing ..crm failed: TypeError"),
        ("PACKAGE.crm:updaet", "module PACKAGE.crm was imported, but it has no updaet"),
        ("PACKAGE.crm:Crm.updaet", "module PACKAGE.crm was imported, but it has no Crm.updaet"),
        ("PACKAGE.crm:LIMIT", "LIMIT is int, expected a function"),
    ],
)
def test_a_handler_that_is_not_found_says_what_is_missing(package: str, path: str, said: str) -> None:
    path = path.replace("PACKAGE", package)
    with pytest.raises(ConfigurationError) as refused:
        resolve_handler(path)
    (problem,) = refused.value.problems
    assert problem.startswith(f"handler {path!r}: ")
    assert said.replace("PACKAGE", package) in problem


@pytest.mark.parametrize(
    ("handler", "arguments", "taken"),
    [
        (lambda event: None, ("event",), True),
        (lambda event, more=1: None, ("event",), True),
        (lambda *events: None, ("event",), True),
        (lambda event, transaction: None, ("event", "transaction"), True),
        (print, ("event",), True),
        (lambda: None, ("event",), False),
        (lambda event, context: None, ("event",), False),
        (lambda event, *, context: None, ("event",), False),
        (lambda event: None, ("event", "transaction"), False),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused(
    handler: Callable[..., Any], arguments: tuple[str, ...], taken: bool
) -> None:
    if taken:
        expect_takes(handler, "crm", *arguments)
        return
    with pytest.raises(ConfigurationError, match=f"expected a function that is called with .*: the {arguments[0]}"):
        expect_takes(handler, "crm", *arguments)
