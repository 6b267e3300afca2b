"""What the API answers where it does not do what it was asked for, as exceptions."""

from typing import ClassVar

from pydantic import BaseModel, Field, ValidationError

from longstop.model.caller import Scope
from longstop.model.errors import LongstopError


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    path: str = Field(description="Where: `query.limit`, `body.why`.", examples=["query.limit"])
    found: str | None = Field(description="What stands there; null: nothing, or a secret.", examples=["0"])
    expected: str = Field(examples=["Input should be greater than or equal to 1"])
    hint: str | None = Field(default=None, description="What to do.")


class Problem(BaseModel):
    """Why a request was not done (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, description="What is wrong and what to do, in words.")
    errors: list[Wrong] | None = Field(default=None, description="422: each thing that is wrong.")
    scope: Scope | None = Field(default=None, description="403: the scope that is missing.")


class ApiError(LongstopError):
    """The API did not do what it was asked for; `problem` says why."""

    statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.status} {problem.title}" + (f": {problem.detail}" if problem.detail else ""))
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.problem.status


class UnauthorizedError(ApiError):
    """401: no credential, or none that is valid."""

    statuses = (401,)


class ForbiddenError(ApiError):
    """403: a scope is missing (`problem.scope`)."""

    statuses = (403,)


class NotThereError(ApiError):
    """404: there is no such thing."""

    statuses = (404,)


class ConflictError(ApiError):
    """409: its state does not allow this, or a short id may be any of several."""

    statuses = (409,)


class InvalidError(ApiError):
    """422: a value that cannot be meant (`problem.errors`)."""

    statuses = (422,)


class RateLimitedError(ApiError):
    """429: too often, or too many at once."""

    statuses = (429,)


class UnavailableError(ApiError):
    """503: the store cannot answer now, also after asking again."""

    statuses = (503,)


class InsecureError(LongstopError):
    """Nothing was sent: the address is none of a gateway, or the token would go over a network that anybody reads."""


class UnreachableError(LongstopError):
    """Nothing answers at the gateway's address, or the answer broke off, also after asking again."""


def error_of(status: int, body: bytes) -> ApiError:
    """The exception for an answer. What is no problem of ours (a proxy's page, say) is told by its status alone."""
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        detail = "the answer is none of Longstop's; does something stand in front of it?"
        if 300 <= status < 400:
            detail = "it leads elsewhere, where the token is not sent; give the address that it leads to"
        problem = Problem(type="about:blank", title="Unexpected answer", status=status, detail=detail)
    kinds = ApiError.__subclasses__()
    return next((kind for kind in kinds if status in kind.statuses), ApiError)(problem)
