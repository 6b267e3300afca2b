"""The public Python face, as a type checker sees it. mypy reads this file; nothing runs it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from longstop import (
    Alert,
    ConfigurationError,
    DeadReason,
    Delivery,
    DeliveryFilter,
    Event,
    Headers,
    Longstop,
    LongstopError,
    Origin,
    Receipt,
    Reject,
    RetryLater,
    State,
    StoreError,
    Transaction,
)
from longstop.testing import Harness, Posted, StandInTransaction, make_event, run

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


@gateway.handler("ledger")
def book(event: Event, transaction: Transaction) -> None:
    transaction.execute("INSERT INTO bookings VALUES (?)", (event.id,))


# What could never be called with an event is an error where it is registered. (mypy counts unused ignores as errors.)
@gateway.handler("wrong")  # type: ignore[type-var]
def no_parameters() -> None: ...


@gateway.handler("wrong too")  # type: ignore[type-var]
def another_type(event: str) -> None: ...


@gateway.handler("wrong as well")  # type: ignore[type-var]
async def too_many(event: Event, transaction: Transaction, more: int) -> None: ...


async def ask() -> None:
    assert_type(await gateway.publish("shop", b"{}", [("X-Trace", "1")]), Receipt)
    found = await gateway.find(DeliveryFilter(state=State.DEAD, reason=DeadReason.REJECTED, destination="crm"))
    assert_type(found.rows, tuple[Delivery, ...])
    kept = await gateway.event("id")
    if kept is not None:
        assert_type(kept.event.headers, Headers)
        assert_type(kept.event.origin, Origin)
    for done in await gateway.replay("id", by="the night shift"):
        assert_type(done.error, str | None)
    errors: tuple[type[LongstopError], ...] = (ConfigurationError, StoreError)
    assert errors


def test_the_application() -> None:
    book(make_event(body=b"{}", key="order-1"), StandInTransaction())

    async def main() -> None:
        async with Harness(gateway, environ={"SHOP_SECRET": "of the test"}) as app:
            assert_type(await app.post("shop", b"{}"), Posted)
            await app.advance(hours=1)
            await app.idle()

    run(main)
