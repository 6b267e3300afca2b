"""The client of the operators' API, sync and async, and what the API shows, as classes.

from longstop.client import Client

with Client("http://127.0.0.1:8081") as longstop:
    for delivery in longstop.deliveries(state="dead"):
        longstop.replay(delivery.id, why="the CRM is back")
"""

from typing import TYPE_CHECKING, Any

from longstop.client.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InsecureError,
    InvalidError,
    NotThereError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)

if TYPE_CHECKING:
    from longstop.client.asynchronous import AsyncClient
    from longstop.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ConflictError",
    "ForbiddenError",
    "InsecureError",
    "InvalidError",
    "NotThereError",
    "RateLimitedError",
    "UnauthorizedError",
    "UnavailableError",
    "UnreachableError",
]


def __getattr__(name: str) -> Any:
    """The clients, when they are asked for: the gateway needs the classes here, and not httpx."""
    if name == "Client":
        from longstop.client.sync import Client

        return Client
    if name == "AsyncClient":
        from longstop.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
