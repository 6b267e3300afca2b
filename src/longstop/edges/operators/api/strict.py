"""Nothing that was asked for is passed over: a parameter that nobody knows is a slip of the finger, told as one.

`?destnation=crm` without this would list, or select for a job, what is of every destination.
"""

import difflib
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict

from longstop.edges.operators.api.problems import invalid

OPEN = ("/session/oidc/callback",)
"""Below the API's prefix: where programs of others send browsers, with parameters of their own."""


class StrictBody(BaseModel):
    """The body of a request; a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


async def only_known_query(request: Request) -> None:
    """A dependency: every parameter of the query is one that the route has. Raises a problem."""
    route = request.scope["route"]
    if route.path in OPEN:
        return
    known = sorted(set(_names(route.dependant)))
    for name, value in request.query_params.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            expected = f"expected one of: {', '.join(known)}" if known else "expected no parameter"
            raise invalid(f"query.{name[:50]}", value[:50], expected, f'did you mean "{close[0]}"?' if close else None)


def _names(dependant: Any) -> Iterator[str]:
    """The parameters of a route's query: its own, and those of what it depends on."""
    for each in dependant.query_params:
        yield each.alias
    for each in dependant.dependencies:
        yield from _names(each)
