"""Routes: which destinations an event goes to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Condition = Callable[[Any], bool]
"""Takes the parsed body; true where the route wants the event."""


@dataclass(frozen=True, slots=True)
class Route:
    """Links a source, and a condition on the body, to destinations."""

    source: str
    to: tuple[str, ...]
    when: Condition | None = None
    expire_after_ms: int | None = None
    """How long after its acceptance an event is of use there; None: for ever."""


class Router:
    """All routes, by source, and which destinations are ordered."""

    def __init__(self, routes: Iterable[Route], ordered: Iterable[str] = ()) -> None:
        self.ordered = frozenset(ordered)
        self._routes: dict[str, list[Route]] = {}
        for route in routes:
            self._routes.setdefault(route.source, []).append(route)

    def destinations(self, source: str, document: Any) -> dict[str, int | None]:
        """Every destination that some route of the source names for this body, each once, in the routes' order.

        And for how many milliseconds the event is of use there; None: for ever. Of several routes the longest counts.
        """
        wanted: dict[str, int | None] = {}
        for route in self._routes.get(source, ()):
            if route.when is None or route.when(document):
                for name in route.to:
                    known = wanted.get(name, 0)
                    limit = route.expire_after_ms
                    wanted[name] = None if limit is None or known is None else max(limit, known)
        return wanted
