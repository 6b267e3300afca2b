"""Stand-ins for the ports, for tests of the services: a sender that does as it is told, a store that can fail.

sender = ScriptedSender(Outcome(OutcomeKind.RETRY, status=503))      # fails once, then succeeds
gate = sender.hold()                                                 # the next sends wait for gate.set()
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import Claim
from longstop.ports import Store

SUCCESS = Outcome(OutcomeKind.SUCCESS, status=204)


@dataclass(frozen=True, slots=True)
class Sent:
    """One call of a sender, as it began."""

    event_id: str
    delivery_id: str
    key: str | None
    attempt: int
    token: int


class ScriptedSender:
    """A Sender that gives the outcomes it was told, one for each call in order, and then `otherwise`.

    An exception in the script is raised, which a real sender never does; a callable is asked with the claim.
    """

    def __init__(self, *script: Outcome | Exception | Callable[[Claim], Outcome], otherwise: Outcome = SUCCESS) -> None:
        self._script = list(script)
        self._otherwise = otherwise
        self._gate: asyncio.Event | None = None
        self._began = asyncio.Condition()
        self.sent: list[Sent] = []
        """Every call, in order."""
        self.running = 0
        """Calls under way."""
        self.most_running = 0
        """The most calls that were ever under way at once."""
        self.cancelled = 0
        """Calls that were broken off."""
        self.closed = False

    def hold(self) -> asyncio.Event:
        """Make every send from now on wait; it goes on when the returned event is set."""
        self._gate = asyncio.Event()
        return self._gate

    async def began(self, count: int) -> None:
        """Returns when at least so many sends have begun."""
        async with self._began:
            await self._began.wait_for(lambda: len(self.sent) >= count)

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        """Record the call, wait if held, and answer by the script."""
        delivery = claim.delivery
        self.sent.append(Sent(claim.event.id, delivery.id, delivery.key, attempt, delivery.token))
        step = self._script.pop(0) if self._script else self._otherwise
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            async with self._began:
                self._began.notify_all()
            if self._gate is not None:
                await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Outcome) else step(claim)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


class FaultyStore:
    """A store of which chosen operations fail or stall; all the others go to the store behind it.

    store = FaultyStore(MemoryStore())
    store.fail("append", times=2)       # two StoreUnavailableError, then it works again
    gate = store.stall("settle")        # waits for gate.set()
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failures: dict[str, int] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._exits: dict[str, asyncio.Event] = {}
        self.calls: dict[str, int] = {}
        """How often each of the ports' methods was called."""

    def fail(self, name: str, times: int = 1) -> None:
        """Let the next calls of this method raise StoreUnavailableError."""
        self._failures[name] = times

    def stall(self, name: str) -> asyncio.Event:
        """Let calls of this method wait, from now on, until the returned event is set."""
        self._gates[name] = asyncio.Event()
        return self._gates[name]

    @property
    def commits_at_once(self) -> int:
        """As the store behind it."""
        return self._store.commits_at_once

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """As the store behind it."""
        self._store.on_arrival(wake)

    def withhold(self, name: str) -> asyncio.Event:
        """Let calls of this method do their work and wait before they return, until the returned event is set."""
        self._exits[name] = asyncio.Event()
        return self._exits[name]

    async def _call(self, name: str, *given: Any) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        if name in self._gates:
            await self._gates[name].wait()
        if self._failures.get(name, 0) > 0:
            self._failures[name] -= 1
            raise StoreUnavailableError(f"{name}: told to fail")
        result = await getattr(self._store, name)(*given)
        if name in self._exits:
            await self._exits[name].wait()
        return result

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            return await self._call(name, *given)

        return call
