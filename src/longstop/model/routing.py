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


class Router:
    """All routes, by source, and which destinations are ordered."""

    def __init__(self, routes: Iterable[Route], ordered: Iterable[str] = ()) -> None:
        self.ordered = frozenset(ordered)
        self._routes: dict[str, list[Route]] = {}
        for route in routes:
            self._routes.setdefault(route.source, []).append(route)

    def destinations(self, source: str, document: Any) -> tuple[str, ...]:
        """Every destination that some route of the source names for this body, each once, in the routes' order."""
        wanted: dict[str, None] = {}
        for route in self._routes.get(source, ()):
            if route.when is None or route.when(document):
                wanted.update(dict.fromkeys(route.to))
        return tuple(wanted)
