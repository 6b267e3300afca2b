"""The Python sender: one call of a handler with the event, and what its return or its exception means."""

import asyncio
import concurrent.futures
import contextvars
import importlib
import inspect
import os
import traceback
import types
from collections.abc import Callable
from typing import Any

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.handler import Reject, RetryLater
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings

Handler = Callable[[Any], Any]
"""Takes the event; what it returns is not looked at. `async def` or not."""

ERROR_CHARS = 500
"""How much of an exception's text is kept."""
FRAMES = 3
"""So many frames are kept with an attempt, each of FRAME_CHARS at the most."""
FRAME_CHARS = 400
TRACEBACK_FRAMES = 30
TRACEBACK_CHARS = 8_000
"""How much of a traceback is logged."""

_OURS = os.path.join(os.path.dirname(__file__), "")


class PythonSender:
    """Calls one handler: an `async def` in the event loop, any other in a thread of its own pool.

    A handler that returns has delivered the event. RetryLater and Reject say the rest; any other exception,
    SystemExit too, is a retry. Past `timeout_ms` the attempt is over and is retried. An async handler is then
    cancelled at its `await`, and what it does with that is waited for. A thread cannot be stopped from
    outside: a function that hangs keeps its thread, one of `concurrency`, until it returns, and the next
    attempt of the same delivery may run beside it. So a function called in a thread should set time limits
    of its own, shorter than the destination's.
    """

    def __init__(self, settings: DestinationSettings, handler: Handler) -> None:
        self._timeout_s = settings.timeout_ms / 1000
        self._handler = handler
        self._in_loop = _is_async(handler)
        # Threads are started as they are needed; an async handler never needs one.
        self._pool = concurrent.futures.ThreadPoolExecutor(
            settings.concurrency, thread_name_prefix=f"longstop-{settings.name}"
        )

    async def send(self, claim: Claim, attempt: int) -> Outcome:  # noqa: ARG002
        """Call the handler once and classify what comes of it. Never raises but for its own cancellation."""
        return await self.call(claim.event)

    async def call(self, argument: Any) -> Outcome:
        """As `send`, with anything in the place of the event."""
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                await self._call(argument)
        except GeneratorExit:
            raise
        except BaseException as error:
            if _cancelled_by_us(error):
                raise
            return self._judge(error, deadline.expired())
        return Outcome(OutcomeKind.SUCCESS)

    async def close(self) -> None:
        """Let go of the threads. One that is still in a handler is not waited for. Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, argument: Any) -> None:
        result = self._handler(argument) if self._in_loop else await self._call_in_thread(argument)
        if inspect.isawaitable(result):
            await result

    async def _call_in_thread(self, argument: Any) -> Any:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._pool, context.run, _caught, self._handler, argument)
        if error is not None:
            raise error
        return result

    def _judge(self, error: BaseException, expired: bool) -> Outcome:
        if expired and not isinstance(error, Reject | RetryLater):
            return timed_out(self._timeout_s)
        return outcome_of(error)


def outcome_of(error: BaseException) -> Outcome:
    """What it means that a handler raised this."""
    match error:
        case Reject():
            return Outcome(OutcomeKind.REJECT, error=_kept(error.why or "rejected by the handler"))
        case RetryLater():
            why = _kept(error.why or "the handler asked to be called again")
            return Outcome(OutcomeKind.RETRY, error=why, retry_after_s=error.after)
    return Outcome(
        OutcomeKind.RETRY,
        error=_kept(_describe(error)),
        frames=_frames(error),
        traceback=_traceback(error),
        raised=True,
    )


def _frames(error: BaseException) -> str | None:
    """The last frames of the handler and what it called, outermost first; None where it was not even entered."""
    found = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place, (code, _) in enumerate(found) if code.co_filename.startswith(_OURS)]
    theirs = found[ours[-1] + 1 if ours else 0 :]
    return "\n".join(_kept(_frame(code, line), FRAME_CHARS) for code, line in theirs[-FRAMES:]) or None


def _frame(code: types.CodeType, line: int) -> str:
    # A long path is cut at its beginning, which tells the least.
    return f"{code.co_filename[-FRAME_CHARS // 2 :]}:{line} in {code.co_qualname}"


def _traceback(error: BaseException) -> str:
    """As the interpreter would print it, and with no values of variables; where it is long, its end."""
    text = "".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES)).rstrip()
    return _kept(text[-TRACEBACK_CHARS:], TRACEBACK_CHARS)


def timed_out(timeout_s: float) -> Outcome:
    """What it means that a handler took too long."""
    return Outcome(OutcomeKind.RETRY, error=f"timeout: the handler was not done after {timeout_s:g} s")


def expect_takes(handler: Handler, name: str, *arguments: str) -> None:
    """Raise ConfigurationError where a handler cannot be called with these: every event would fail at it."""
    try:
        signature = inspect.signature(handler)
    except (ValueError, TypeError):
        # Some callables written in C do not tell.
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        wanted = " and ".join(f"the {each}" for each in arguments)
        many = "one argument" if len(arguments) == 1 else f"{len(arguments)} arguments"
        problem = f"it takes {signature}, expected a function that is called with {many}: {wanted}"
        raise _unresolved(name, problem) from None


def resolve_handler(path: str, *arguments: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; after the colon, dots lead into classes.

    arguments: what it is called with; the event alone, unless told otherwise. Imports the module. Raises
    ConfigurationError, which says what of it was not found, or that it cannot be called so.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise _unresolved(path, "expected package.module:function")
    found: Any = _imported(path, module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise _unresolved(path, f"module {module_name} was imported, but it has no {name}")
        found = getattr(found, part)
    if not callable(found):
        raise _unresolved(path, f"{name} is {type(found).__name__}, expected a function")
    function: Callable[..., Any] = found
    expect_takes(function, path, *(arguments or ("event",)))
    return function


def _imported(path: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing == module_name or module_name.startswith(f"{missing}."):
            hint = "is it installed, or in a folder on PYTHONPATH?"
            raise _unresolved(path, f"there is no module {missing}; {hint}") from error
        raise _unresolved(path, f"module {module_name} needs {missing}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise _unresolved(path, f"importing {module_name} failed: {_describe(error)}") from error


def _unresolved(path: str, problem: str) -> ConfigurationError:
    return ConfigurationError((f"handler {path!r}: {problem}",))


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _caught(handler: Handler, argument: Any) -> tuple[Any, BaseException | None]:
    """The handler's result or its exception, as values: a future cannot carry StopIteration."""
    try:
        return handler(argument), None
    except BaseException as error:
        return None, error


def _cancelled_by_us(error: BaseException) -> bool:
    """A handler may also raise CancelledError by itself, having awaited something that was cancelled."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _describe(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:
        message = ""
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def _kept(text: str, chars: int = ERROR_CHARS) -> str:
    # A lone surrogate, as in a path that is not UTF-8, could not be stored.
    return str(text)[:chars].encode("utf-8", "replace").decode()
