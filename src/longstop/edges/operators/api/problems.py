"""Errors on the wire: problem+json (RFC 9457) for each, with what was found, what was expected and what to do."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from longstop.client.errors import Wrong
from longstop.edges.rows.ids import AmbiguousIdError
from longstop.model.caller import Scope
from longstop.model.errors import (
    AccountConflictError,
    AccountError,
    ArchiveError,
    HiddenError,
    IdentityError,
    JobRefusedError,
    JobRequestError,
    LoginError,
    LoginLimitError,
    LongstopError,
    NotFoundError,
    StoreUnavailableError,
)
from longstop.operating.replay import ReplayError, UnreadableError

log = structlog.get_logger("longstop.http")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""When to ask again where the store could not answer."""
FOUND_CHARS = 200
"""How much of a wrong value is told."""
_SECRET = ("password", "token", "secret")


class ProblemError(LongstopError):
    """A request that is not done, as it is answered."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Wrong] = (),
        scope: Scope | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = tuple(errors)
        self.scope = scope
        self.headers = dict(headers or {})


def invalid(path: str, found: str | None, expected: str, hint: str | None = None) -> ProblemError:
    """A value that cannot be meant: 422."""
    return ProblemError(
        422, f"{path}: {expected}", errors=[Wrong(path=path, found=found, expected=expected, hint=hint)]
    )


_STATUS: Mapping[type[LongstopError], int] = {
    LoginError: 401,
    LoginLimitError: 429,
    HiddenError: 403,
    AccountConflictError: 409,
    AccountError: 422,
    IdentityError: 502,
    NotFoundError: 404,
    AmbiguousIdError: 409,
    UnreadableError: 422,
    ReplayError: 409,
    JobRefusedError: 409,
    JobRequestError: 422,
    StoreUnavailableError: 503,
    ArchiveError: 503,
}


def problem_of(error: LongstopError) -> ProblemError:
    """An error as it is answered: by the nearest of its classes that has a status; 500 where none has."""
    if isinstance(error, ProblemError):
        return error
    status = next((_STATUS[each] for each in type(error).__mro__ if each in _STATUS), 500)
    retry_after_s = error.retry_after_s if isinstance(error, LoginLimitError) else RETRY_AFTER_S
    return ProblemError(
        status,
        str(error),
        scope=Scope.BODIES if isinstance(error, HiddenError) else None,
        headers={"retry-after": str(retry_after_s)} if status in (429, 503) else None,
    )


def answer(problem: ProblemError) -> Response:
    """A problem as the response that tells it."""
    said: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase.capitalize(),
        "status": problem.status,
        "detail": str(problem) or None,
    }
    if problem.errors:
        said["errors"] = [each.model_dump() for each in problem.errors]
    if problem.scope is not None:
        said["scope"] = problem.scope.value
    # ASCII: what was found may hold characters that no encoding has.
    body = json.dumps(said).encode()
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def handle_problems(app: FastAPI) -> None:
    """Have the app answer every error with a problem."""

    @app.exception_handler(LongstopError)
    async def ours(request: Request, error: LongstopError) -> Response:
        problem = problem_of(error)
        if problem.status == 500:
            log.error("request_failed", path=request.url.path, exc_info=error)
        return answer(problem)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_request: Request, error: RequestValidationError) -> Response:
        wrong = [_wrong(each) for each in error.errors()]
        detail = "; ".join(f"{each.path}: {each.expected}" for each in wrong[:3])
        return answer(ProblemError(422, detail, errors=wrong))

    @app.exception_handler(HTTPException)
    async def by_status(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:
            # The one case of it: a body that cannot even be tried, as bytes that are no text or nested without end.
            return answer(invalid("body", None, "expected JSON in UTF-8"))
        detail = "" if error.detail == HTTPStatus(error.status_code).phrase else str(error.detail)
        if error.status_code == 404:
            detail = f"{request.url.path} is no path of this API; /api/v1/openapi.json lists them"
        return answer(ProblemError(error.status_code, detail, headers=error.headers))

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> Response:
        # It is raised again behind this, and logged by the server.
        return answer(ProblemError(500, "This is a mistake of ours; the gateway's log has it."))


def _found(value: Any) -> str:
    """What was found, as it is told: of what holds others only its kind, for one of those may be a password."""
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:FOUND_CHARS]


def _wrong(error: Mapping[str, Any]) -> Wrong:
    if error["type"] == "json_invalid":
        return Wrong(path="body", found=None, expected=f"expected JSON: {error['ctx']['error']}", hint=None)
    path = ".".join(map(str, error["loc"]))
    if path == "body" and isinstance(error["input"], bytes):
        hint = "send it with Content-Type: application/json"
        return Wrong(path=path, found=None, expected="expected JSON", hint=hint)
    told = error["type"] not in ("missing", "extra_forbidden") and not any(word in path for word in _SECRET)
    return Wrong(
        path=path,
        found=_found(error["input"]) if told else None,
        expected=str(error["msg"]),
        hint=(error.get("ctx") or {}).get("hint"),
    )
