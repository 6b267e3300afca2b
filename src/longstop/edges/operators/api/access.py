"""Who asks, and whether he may: the dependencies that every route stands on."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from longstop.edges.operators.access.current import caller_of
from longstop.edges.operators.api.problems import ProblemError
from longstop.model.caller import Caller, Scope


async def caller(request: Request) -> Caller:
    """Who asks, as the guard before the API has found out. Raises a problem where nobody is known to."""
    who = caller_of(request.scope)
    if who is None:
        raise ProblemError(401, "nobody is signed in, or not any more")
    return who


def requires(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, who has this scope; else the answer is 403 and names it."""

    async def allowed(who: Annotated[Caller, Depends(caller)]) -> Caller:
        expect(who, scope)
        return who

    return allowed


def expect(who: Caller, scope: Scope) -> None:
    """Raise a problem, 403, unless this caller has the scope."""
    if not who.may(scope):
        raise ProblemError(403, f"{who.name} lacks the scope {scope}; an administrator gives it", scope=scope)


Viewer = Annotated[Caller, Depends(requires(Scope.VIEW))]
Reader = Annotated[Caller, Depends(requires(Scope.BODIES))]
"""Of bodies."""
Decider = Annotated[Caller, Depends(requires(Scope.REPLAY))]
Administrator = Annotated[Caller, Depends(requires(Scope.ADMIN))]
