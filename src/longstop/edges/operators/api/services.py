"""What the routers need of the rest of the program; `wiring/serve.py` hands it in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from longstop.config import Config
from longstop.model.breaker import CircuitChange
from longstop.model.caller import Caller
from longstop.model.ids import IdFactory
from longstop.model.routing import Router
from longstop.model.spool import SpoolFacts
from longstop.operating.access import Access
from longstop.operating.accounts import Accounts
from longstop.operating.alerts import Alerts
from longstop.operating.audit import Auditor
from longstop.operating.bodies import Bodies
from longstop.operating.masked_store import Shown
from longstop.operating.replay import Replay
from longstop.ports import Archive, Clock, Identities, Source, Store


@dataclass(frozen=True)
class Services:
    """The running gateway, as the operators' side sees it."""

    config: Config
    store: Store
    """Open for as long as the gateway runs. What whoever asks may not see is hidden in it (`masked_store`)."""
    clock: Clock
    sources: Mapping[str, Source]
    router: Router
    replay: Callable[[Caller], Replay]
    """The replay service, on behalf of whoever asks."""
    bodies: Callable[[Caller], Bodies]
    """What hands out bodies to whoever asks."""
    auditor: Callable[[Caller], Auditor]
    """What notes what whoever asks does."""
    accounts: Callable[[Caller], Accounts]
    """The service that changes users and tokens, on behalf of whoever asks."""
    shown: Shown
    """What becomes of what services made or read themselves, as whoever asks may see it."""
    alert: Callable[[CircuitChange], Awaitable[str | None]]
    """Tell people of a circuit that a person changed; what went wrong, None where nothing did."""
    ids: IdFactory
    alerts: Alerts
    """What people are told of."""
    why_not_ready: Callable[[], Sequence[str]]
    """What keeps the gateway from accepting and delivering, in words; nothing where it does."""
    archive: Archive | None = None
    """Where what is forgotten is kept, if anywhere."""
    access: Access | None = None
    """What signs people in; None: nobody is asked who he is."""
    spool: Callable[[], SpoolFacts | None] = lambda: None
    """How the spool stands; None where there is none."""
    identities: Identities | None = None
    """The identity provider, if there is one."""
