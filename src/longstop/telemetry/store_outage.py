"""Whether the store can be had: told in the log when it cannot and when it can again, once, whoever asks it meanwhile.

All services go on trying, several times a second together. What each of them meets is in the log at the level `debug`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import structlog

from longstop.model.errors import StoreUnavailableError, UnreadableRowError
from longstop.ports import Clock, Store, Transactions

T = TypeVar("T")

log = structlog.get_logger("longstop.store")

QUIET_S = 3.0
"""It is back when nothing has failed for so long, which is longer than any service waits before it tries again: a disk
that is full still answers what reads."""
AGAIN_S = 60.0
"""How often it is told again."""
AT_ONCE = 3
"""So many reasons are told of at once: the first is often only that a connection broke, and another says why."""
NEWS_S = 5.0
"""How far apart others are told."""
REASONS_MAX = 20
"""So many in all."""
SLOW_S = 3.0
"""What is not answered after so long has failed: senders are told 503 then."""
QUICK = frozenset(("append", "lease", "extend", "settle"))
"""What is never that long at work where all is well."""

_TOLD_BY_OTHERS = frozenset(("open", "close"))
"""Where a store cannot be opened, the program says so and ends."""


class StoreOutage:
    """Since when the store cannot be had."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms: int | None = None
        self._last_ms = 0
        self._told_ms = 0
        self._failures = 0
        self._reasons: set[str] = set()
        """What has been told of this outage."""

    def failed(self, operation: str, why: str) -> None:
        """The store could not do this."""
        now_ms = self._clock.monotonic_ms()
        self._last_ms = now_ms
        self._failures += 1
        if self._since_ms is None:
            self._since_ms, self._failures, self._reasons = now_ms, 1, set()
            self._tell(operation, why, {})
        elif now_ms - self._told_ms >= AGAIN_S * 1000 or self._is_news(why, now_ms):
            self._tell(operation, why, self._so_far(now_ms))

    def _is_news(self, why: str, now_ms: int) -> bool:
        if why in self._reasons or len(self._reasons) >= REASONS_MAX:
            return False
        return len(self._reasons) < AT_ONCE or now_ms - self._told_ms >= NEWS_S * 1000

    def _tell(self, operation: str, why: str, so_far: dict[str, float]) -> None:
        self._told_ms = self._last_ms
        self._reasons.add(why)
        log.error("store_away", operation=operation, error=why, **so_far)

    def worked(self) -> None:
        """The store has done something."""
        if self._since_ms is None or self._clock.monotonic_ms() - self._last_ms < QUIET_S * 1000:
            return
        log.warning("store_back", **self._so_far(self._last_ms))
        self._since_ms = None

    def _so_far(self, now_ms: int) -> dict[str, float]:
        return {"after_s": (now_ms - (self._since_ms or 0)) / 1000, "failures": self._failures}

    async def watched(self, operation: str, work: Awaitable[T]) -> T:
        """What the work comes to. What one row that cannot be read is to blame for says nothing of the store."""
        slow = self._timer(operation)
        try:
            result = await work
        except UnreadableRowError:
            raise
        except StoreUnavailableError as error:
            self.failed(operation, str(error))
            raise
        finally:
            if slow is not None:
                slow.cancel()
        self.worked()
        return result

    def _timer(self, operation: str) -> asyncio.TimerHandle | None:
        if operation not in QUICK:
            return None
        loop = asyncio.get_running_loop()
        return loop.call_later(SLOW_S, self.failed, operation, f"no answer within {SLOW_S:g} s")


def watched(store: Store, outage: StoreOutage) -> Store:
    """The same store, which tells when it cannot be had."""
    return cast(Store, _WatchedStore(store, outage))


def watched_transactions(transactions: Transactions, outage: StoreOutage) -> Transactions:
    """The same for a store whose transactions can hold a handler's writes."""
    return cast(Transactions, _WatchedStore(transactions, outage))


class _WatchedStore:
    def __init__(self, store: Store | Transactions, outage: StoreOutage) -> None:
        self._store = store
        self._outage = outage

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        # Looked up anew each time: behind a spool it is another one once the store has been reached.
        watch = name not in _TOLD_BY_OTHERS and inspect.iscoroutinefunction(found)
        return self._watching(name, found) if watch else found

    def _watching(self, name: str, found: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            return await self._outage.watched(name, found(*args, **named))

        return call
