"""What both clients do with a request and its answer, but for the waiting."""

import os
import secrets
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from longstop.client.calls import Call, wait_s
from longstop.client.errors import UnreachableError, error_of

T = TypeVar("T", bound=BaseModel)

URL = "http://127.0.0.1:8081"
TOKEN_VARIABLE = "LONGSTOP_TOKEN"  # noqa: S105 (its name)
TIMEOUT_S = 30.0


def settings(url: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    """What both clients of httpx are made with."""
    token = os.environ.get(TOKEN_VARIABLE) if token is None else token
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout_s, "follow_redirects": False}


def request(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """The request of a call. What changes something has an Idempotency-Key, the same whenever it is sent again."""
    headers = {"accept": "application/json"}
    if call.body is not None:
        headers["content-type"] = "application/json"
    if call.method != "GET":
        headers["idempotency-key"] = secrets.token_urlsafe(16)
    return client.build_request(call.method, call.path, params=call.params(), content=call.content(), headers=headers)


def wait_before(attempt: int, response: httpx.Response | None) -> float | None:
    """How long to wait before it is sent again; None: it is not."""
    if response is None:
        return wait_s(attempt, None, None)
    return wait_s(attempt, response.status_code, response.headers.get("retry-after"))


def read(call: Call[T], response: httpx.Response) -> T:
    """What a call was answered. Raises ApiError."""
    refuse(response)
    try:
        return call.answer.model_validate_json(response.content)
    except ValidationError:
        raise error_of(response.status_code, b"") from None


def refuse(response: httpx.Response) -> None:
    """Raise ApiError for an answer that says that it was not done."""
    if not response.is_success:
        raise error_of(response.status_code, response.content)


def unreachable(error: httpx.TransportError, url: httpx.URL) -> UnreachableError:
    """The error where there was no answer, without a query."""
    said = str(error) or type(error).__name__
    return UnreachableError(f"nothing answers at {url.scheme}://{url.netloc.decode()}: {said}; is the gateway running?")


class Events:
    """Reads server-sent events, a line at a time."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def line(self, line: str) -> Iterator[dict[str, str]]:
        """The event that this line completes, if it does: its fields."""
        if not line:
            if "data" in self._fields:
                yield self._fields
            self._fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
