"""The store as one caller sees it, for a desk beside it whose caller is not everybody's superior."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.edges.cli.program import Parts
    from longstop.model.breaker import CircuitChange
    from longstop.model.caller import Caller
    from longstop.model.ids import IdFactory
    from longstop.model.routing import Router
    from longstop.model.spool import SpoolFacts
    from longstop.operating.accounts import Accounts
    from longstop.operating.audit import Auditor
    from longstop.operating.bodies import Bodies
    from longstop.operating.replay import Replay
    from longstop.ports import Archive, Clock, Source, Store


@dataclass(frozen=True)
class Seen:
    """What `Behind` asks for, with fields hidden in it."""

    config: "Config"
    store: "Store"
    archive: "Archive | None"
    clock: "Clock"
    sources: "Mapping[str, Source]"
    router: "Router"
    ids: "IdFactory"
    replay: "Callable[[Caller], Replay]"
    bodies: "Callable[[Caller], Bodies]"
    auditor: "Callable[[Caller], Auditor]"
    accounts: "Callable[[Caller], Accounts]"
    alert: "Callable[[CircuitChange], Awaitable[str | None]]"
    spool: "Callable[[], SpoolFacts | None]"


def seen_by(parts: "Parts", who: "Caller") -> Seen:
    """The parts as this caller may see them."""
    from longstop.operating.masked_store import Shown, masked_archive, masked_store

    shown = Shown(parts.masking, lambda: who)
    return Seen(
        parts.config,
        masked_store(parts.store, shown),
        masked_archive(parts.archive, shown),
        parts.clock,
        parts.sources,
        parts.router,
        parts.ids,
        parts.replay,
        parts.bodies,
        parts.auditor,
        parts.accounts,
        parts.alert,
        parts.spool,
    )
