"""Routes: which destinations an event goes to, and which other events it waits for there."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from longstop.model.delivery import lane_of
from longstop.model.event import Headers
from longstop.model.exchange import Reading

Condition = Callable[[Any], bool]
"""Takes what `seen` gives; true where the route wants the event. Never raises."""

OWN = "longstop"
"""Under this name a condition always finds what is known of the event, whatever its body says."""

SHORT = ("type", "key", "source", "headers")
"""Names that mean the body's member where it has one, and otherwise what is known of the event."""
SEEN_NAMES = (*SHORT, OWN)


def seen(source: str, reading: Reading, headers: Headers, names: Collection[str]) -> Any:
    """What a condition looks at that has these of SEEN_NAMES in it: the body, with what it lacks of them.

    A body that is a list or a single value has no place for names. It is seen as it is, unless the condition asks for
    OWN, where the body then is, too; with no body that can be read the names are all there is.
    """
    document = reading.document
    if not names or not (document is None or isinstance(document, dict) or OWN in names):
        return document
    body = document if isinstance(document, dict) else {}
    known = {"type": reading.type, "key": reading.key, "source": source, "headers": _by_name(headers)}
    added = {name: known[name] for name in names if name != OWN and name not in body}
    return {**body, **added, **({OWN: {**known, "body": document}} if OWN in names else {})}


def _by_name(headers: Headers) -> dict[str, str]:
    """By name in lower case. Several of a name are one list (RFC 9110, 5.3)."""
    return {name.lower(): ", ".join(headers.get_all(name)) for name, _ in headers}


@dataclass(frozen=True, slots=True)
class Route:
    """Links a source, and a condition, to destinations."""

    source: str
    to: tuple[str, ...]
    when: Condition | None = None
    expire_after_ms: int | None = None
    """How long after its acceptance an event is of use there; None: for ever."""
    order_with: str | None = None
    """Routes of the same name share one order for each key; None: every source has an order of its own."""
    names: frozenset[str] = frozenset()
    """Which of SEEN_NAMES stand in the condition."""
    text: str = ""
    """The condition as a person wrote it."""

    def wants(self, reading: Reading, headers: Headers) -> bool:
        """Whether an event of the source that is read so, and came with these headers, goes where the route leads."""
        return self.when is None or self.when(seen(self.source, reading, headers, self.names))


@dataclass(frozen=True, slots=True)
class Target:
    """What an event's delivery to one destination begins with."""

    expire_after_ms: int | None = None
    """How long after its acceptance it is of use there; None: for ever."""
    lane: str | None = None
    """See Delivery.lane."""


class Router:
    """All routes, by source, and which destinations are ordered."""

    def __init__(self, routes: Iterable[Route], ordered: Iterable[str] = ()) -> None:
        self._ordered = frozenset(ordered)
        self._routes: dict[str, list[Route]] = {}
        self._order_with: dict[tuple[str, str], str] = {}
        for route in routes:
            self._routes.setdefault(route.source, []).append(route)
            if route.order_with is not None:
                self._order_with.update({(route.source, name): route.order_with for name in route.to})
        # Where nothing depends on the event, it is worked out once: this is asked for each.
        self._always = {source: self._destinations_of(source) for source in self._routes if self._is_plain(source)}

    def _is_plain(self, source: str) -> bool:
        routes = self._routes[source]
        return all(route.when is None and self._ordered.isdisjoint(route.to) for route in routes)

    def _destinations_of(self, source: str) -> Mapping[str, Target]:
        limits: dict[str, int | None] = {}
        for route in self._routes[source]:
            _widen(limits, route)
        # A plain dict: it also goes to another process and back.
        return {name: Target(limit) for name, limit in limits.items()}

    def routes(self, source: str) -> tuple[Route, ...]:
        """The routes of a source, in the order of the configuration."""
        return tuple(self._routes.get(source, ()))

    def destinations(self, source: str, reading: Reading, headers: Headers) -> Mapping[str, Target]:
        """Every destination that some route of the source names for an event, each once, in the routes' order.

        Of several routes that name one the longest `expire_after_ms` counts.
        """
        always = self._always.get(source)
        if always is not None:
            return always
        wanted: dict[str, int | None] = {}
        for route in self._routes.get(source, ()):
            if route.wants(reading, headers):
                _widen(wanted, route)
        return {name: Target(limit, self.lane(source, name, reading.key)) for name, limit in wanted.items()}

    def lane(self, source: str, destination: str, key: str | None) -> str | None:
        """The lane of a key at a destination; None where it is not ordered, or there is no key.

        A key means something to its sender only. What one source sends must not hold up what another does, so its name
        is part of the lane, unless the routes say that the keys of several are the same.
        """
        if key is None or destination not in self._ordered:
            return None
        return lane_of(source, key, self._order_with.get((source, destination)))


def _widen(limits: dict[str, int | None], route: Route) -> None:
    """Add a route's destinations, each with the longest of the limits that routes name for it."""
    for name in route.to:
        known, limit = limits.get(name, 0), route.expire_after_ms
        limits[name] = None if limit is None or known is None else max(limit, known)
