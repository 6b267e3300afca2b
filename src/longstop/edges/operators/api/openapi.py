"""The description of the API, OpenAPI 3.1: as FastAPI makes it, with the problems that every operation may answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from longstop.client.errors import Problem, Wrong
from longstop.edges.operators.api.problems import MEDIA_TYPE

TAGS = {
    "events": "What was accepted: raw body and headers, and what became of it.",
    "deliveries": "One event for one destination: what is retried, dead, replayed.",
    "dead letters": "What could not be delivered, by what it died of.",
    "keys": "All that belongs together: a conversation.",
    "sources": "The configured senders, and what was refused of them.",
    "destinations": "Where deliveries go, and how they are.",
    "statistics": "What happened when, in numbers.",
    "jobs": "Replays and discards of many, as they are carried out.",
    "gateway": "How it stands.",
    "access": "Who may use all this, and who did.",
    "alerts": "What people are told of, and what nobody is told of for a time.",
    "dlq": "For those who know dead letter queues from elsewhere: the same as `deliveries` with state `dead`.",
}
"""A router of another resource adds its own."""

_ALWAYS = {
    "401": "No credential, or none that is valid.",
    "403": "The caller lacks a scope (`scope`), or another site's page asks.",
    "422": "A value that cannot be meant (`errors`).",
    "503": "The store cannot answer now; Retry-After says when to ask again.",
}
_DECIDING = {
    "409": "Its state does not allow this, or a request with this Idempotency-Key is under way.",
    "413": "The body is over the limit.",
}
_WITH_ID = {"404": "There is no such thing.", "409": "The id is short, and may be any of several."}


def describe(app: FastAPI, path: str) -> None:
    """Have the app describe itself at this path. Anybody may read that: it says nothing of what is kept."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    openapi_version=app.openapi_version,
                    description=app.description,
                    routes=app.routes,
                    tags=[{"name": name, "description": text} for name, text in TAGS.items()],
                )
            )
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]

    # No coroutine: it takes a tenth of a second the first time, and senders should not wait for that.
    @app.get(path, include_in_schema=False)
    def openapi() -> Any:
        return JSONResponse(description())


def _with_problems(described: dict[str, Any]) -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(Problem, "serialization"), (Wrong, "serialization")], ref_template="#/components/schemas/{model}"
    )
    kept = described.setdefault("components", {}).setdefault("schemas", {})
    kept.update(schemas["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        kept.pop(name, None)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            # What a route says of its own problems is kept.
            own = {
                status: each["description"]
                for status, each in operation["responses"].items()
                if status >= "400" and status != "422"
            }
            told = _ALWAYS | (_WITH_ID if "{" in path else {}) | (_DECIDING if method != "get" else {}) | own
            for status, text in told.items():
                operation["responses"][status] = {
                    "description": text,
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
    return described
