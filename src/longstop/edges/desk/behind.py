"""What a desk at the store itself has behind it. The command line's parts are that, and a gateway's services."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from longstop.edges.rows.looking import Looking

if TYPE_CHECKING:
    from longstop.model.breaker import CircuitChange
    from longstop.model.caller import Caller
    from longstop.model.ids import IdFactory
    from longstop.model.routing import Router
    from longstop.operating.accounts import Accounts
    from longstop.operating.alerts import Alerts
    from longstop.operating.audit import Auditor
    from longstop.operating.bodies import Bodies
    from longstop.operating.jobs import JobService
    from longstop.operating.pause import Pausing
    from longstop.operating.replay import Replay
    from longstop.ports import Source


class Behind(Looking, Protocol):
    """A configuration with its store open, and the services on it."""

    @property
    def sources(self) -> "Mapping[str, Source]":
        """The sources by name."""

    @property
    def router(self) -> "Router":
        """The routes."""

    @property
    def ids(self) -> "IdFactory":
        """What makes ids."""

    @property
    def replay(self) -> "Callable[[Caller], Replay]":
        """The replay service, on behalf of whoever asks."""

    @property
    def bodies(self) -> "Callable[[Caller], Bodies]":
        """What hands out bodies to whoever asks."""

    @property
    def auditor(self) -> "Callable[[Caller], Auditor]":
        """What notes what whoever asks does."""

    @property
    def accounts(self) -> "Callable[[Caller], Accounts]":
        """The service that changes users and tokens."""

    @property
    def alert(self) -> "Callable[[CircuitChange], Awaitable[str | None]]":
        """Tell people of a circuit that a person changed; what went wrong, None where nothing did."""


def jobs_of(behind: Behind, who: "Caller") -> "JobService":
    """The service that makes and stops jobs."""
    from longstop.operating.jobs import JobService

    return JobService(behind.store, behind.clock, behind.ids, who.name, behind.auditor(who))


def alerts_of(behind: Behind) -> "Alerts":
    """The service that decides what people are told; a gateway that runs puts it into the queue."""
    from longstop.operating.alerts import Alerts

    sources = [each.name for each in behind.config.sources]
    return Alerts(behind.store, behind.config.alerts, sources, behind.clock, behind.ids)


def pausing_of(behind: Behind, who: "Caller") -> "Pausing":
    """The service that pauses and resumes."""
    from longstop.operating.pause import Pausing

    return Pausing(behind.store, behind.clock, behind.alert, behind.auditor(who))
