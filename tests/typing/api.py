"""The public Python face, as a type checker sees it. mypy reads this file; nothing runs it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from longstop import Alert, Event, Longstop, Reject, RetryLater

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


@gateway.on_alert
async def page(alert: Alert) -> None:
    assert_type(alert.at_ms, int)
    assert_type(alert.open_s, float | None)
    assert_type(alert.text, str)


@gateway.on_alert
def mail(alert: Alert) -> int:
    return len(alert.why)


assert_type(mail(Alert("circuit_opened", "crm", "why", 0)), int)

# The decorator gives back the very function it was given.
assert_type(archive(Event("id", "source", 0, b"")), int)
plain: Callable[[Event], Awaitable[None]] = update_crm

life: AbstractAsyncContextManager[None] = gateway.lifespan()
