"""Pausing a destination and letting it go on, on behalf of a person. What is for it meanwhile waits."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from longstop.model.action import Pause
from longstop.model.audit import AuditAction
from longstop.model.breaker import Circuit, CircuitChange
from longstop.model.delivery import State
from longstop.operating.audit import Auditor
from longstop.ports import Clock, Store

Alert = Callable[[CircuitChange], Awaitable[str | None]]
"""Tells people of a circuit that a person changed; what went wrong, None where nothing did."""

_WAITING = (State.SCHEDULED, State.LEASED)


@dataclass(frozen=True, slots=True)
class Paused:
    """What became of a pause."""

    earlier: Pause | None
    now: Pause | None
    waiting: int
    """How many deliveries wait for the destination."""

    @property
    def changed(self) -> bool:
        """Whether it was paused by this, or for another reason from now on."""
        return self.now != self.earlier


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of a resumption: each is None where there was none to end."""

    pause: Pause | None
    circuit: Circuit | None
    waiting: int
    alert_error: str | None = None
    """Why people were not told that the circuit is closed."""


class Pausing:
    """Pauses and resumes, on behalf of the auditor's caller."""

    def __init__(self, store: Store, clock: Clock, alert: Alert, auditor: Auditor) -> None:
        self._store = store
        self._clock = clock
        self._alert = alert
        self._auditor = auditor

    async def pause(self, destination: str, why: str | None) -> Paused:
        """Let nothing more go out there. Of one that is paused already, a reason that is given is the new one."""
        earlier = await self._pause_of(destination)
        # Whoever says no reason does not take back the one that is there.
        if earlier is None or why is not None:
            await self._auditor.note(AuditAction.DESTINATION_PAUSE, "destination", destination, why=why)
            await self._store.pause(Pause(destination, self._clock.now_ms(), self._auditor.by, why))
        return Paused(earlier, await self._pause_of(destination), await self._waiting(destination))

    async def resume(self, destination: str) -> Resumed:
        """End its pause, and close its circuit: a person knows that it works again. If not, the circuit opens again."""
        pause = await self._pause_of(destination)
        circuit = await self._circuit_of(destination)
        if pause is not None or circuit is not None:
            await self._auditor.note(AuditAction.DESTINATION_RESUME, "destination", destination)
        ended = pause is not None and await self._store.resume(destination)
        closed = circuit is not None and await self._store.change_circuit(destination, circuit.version, None)
        error = None
        if circuit is not None and closed:
            # Who closed it says so. A gateway only sees that somebody has, and of several gateways each does.
            change = CircuitChange.closed(circuit, f"{self._auditor.by} resumed it", self._clock.now_ms())
            error = await self._alert(change)
        waiting = await self._waiting(destination)
        return Resumed(pause if ended else None, circuit if closed else None, waiting, error)

    async def _pause_of(self, destination: str) -> Pause | None:
        return next((each for each in await self._store.pauses() if each.destination == destination), None)

    async def _circuit_of(self, destination: str) -> Circuit | None:
        return next((each for each in await self._store.circuits() if each.destination == destination), None)

    async def _waiting(self, destination: str) -> int:
        states = (await self._store.counts()).deliveries.get(destination, {})
        return sum(states.get(state, 0) for state in _WAITING)
