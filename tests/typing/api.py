"""The public Python face, as a type checker sees it. mypy reads this file; nothing runs it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from longstop import Event, Longstop, Reject, RetryLater

gateway = Longstop("longstop.toml")


@gateway.handler("crm")
async def update_crm(event: Event) -> None:
    assert_type(event.id, str)
    assert_type(event.body, bytes)
    assert_type(event.key, str | None)
    assert_type(event.headers.get("x-trace"), str | None)
    raise RetryLater(after=60)


@gateway.handler("archive")
def archive(event: Event) -> int:
    raise Reject("why")


# The decorator gives back the very function it was given.
assert_type(archive(Event("id", "source", 0, b"")), int)
plain: Callable[[Event], Awaitable[None]] = update_crm

life: AbstractAsyncContextManager[None] = gateway.lifespan()
