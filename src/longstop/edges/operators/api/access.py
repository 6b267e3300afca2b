"""Who asks, and whether he may: the dependencies that every route stands on."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from longstop.edges.operators.api.problems import ProblemError
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind, Scope

LOCAL_NAME = "local"
"""Who decides where no authentication is asked for: somebody at this machine."""


async def caller(request: Request) -> Caller:
    """Who asks. The operators' port without authentication is this machine's alone: whoever reaches it may all."""
    return Caller(LOCAL_NAME, CallerKind.USER, ALL_SCOPES, request.client.host if request.client else None)


def requires(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, who has this scope; else the answer is 403 and names it."""

    async def allowed(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if not who.may(scope):
            raise ProblemError(403, f"{who.name} lacks the scope {scope}; an administrator gives it", scope=scope)
        return who

    return allowed


Viewer = Annotated[Caller, Depends(requires(Scope.VIEW))]
Reader = Annotated[Caller, Depends(requires(Scope.BODIES))]
"""Of bodies."""
Decider = Annotated[Caller, Depends(requires(Scope.REPLAY))]
Administrator = Annotated[Caller, Depends(requires(Scope.ADMIN))]
