"""Whether a server keeps what it has acknowledged: asked whenever it has been away, and refused where it does not.

https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ : with `appendfsync everysec`, the default, a
crash loses the last second; without `appendonly` all since the last snapshot. `maxmemory-policy` other than
`noeviction` lets the server drop what it has no room for.
"""

from typing import Any

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from longstop.model.errors import StoreUnavailableError

log = structlog.get_logger("longstop.store")

REQUIRED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class UnsafeError(StoreUnavailableError):
    """The server may lose what it acknowledges."""


async def is_replica(connection: AbstractConnection) -> bool:
    """Whether the server follows another one. One that does not tell is found out by the first write."""
    await connection.send_command("ROLE")
    try:
        answer: list[Any] = await connection.read_response()
    except ResponseError:
        return False
    return bool(answer[0] != b"master")


async def refuse_unsafe(connection: AbstractConnection, relaxed: bool) -> dict[str, str]:
    """Raise UnsafeError where the server's settings are not the REQUIRED ones. relaxed: log and return those."""
    try:
        found = await _settings(connection)
    except ResponseError:
        found = {}
    wrong = {name: found.get(name, "unknown") for name, wanted in REQUIRED.items() if found.get(name) != wanted}
    if not wrong:
        return wrong
    if relaxed:
        log.warning("store_durability_relaxed", **{name.replace("-", "_"): value for name, value in wrong.items()})
        return wrong
    is_so = ", ".join(f"{name} {value}" for name, value in wrong.items())
    should = ", ".join(f"{name} {REQUIRED[name]}" for name in wrong)
    raise UnsafeError(
        f"this Redis may lose what it has acknowledged: found {is_so}; expected {should}."
        " Set it so (CONFIG SET, and in its file);"
        " or write ?durability=relaxed behind the store's URL to accept the loss."
    )


async def _settings(connection: AbstractConnection) -> dict[str, str]:
    await connection.send_command("CONFIG", "GET", *REQUIRED)
    answer: list[Any] = await connection.read_response()
    texts = [each.decode() for each in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))
