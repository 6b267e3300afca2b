"""A whole gateway tells how it stands: /readyz why it is not ready, each reason by itself and gone when it is over."""

import asyncio
from pathlib import Path
from typing import Any

from services import on_virtual_time, settle_down
from test_backpressure import Limited

from longstop import config
from longstop.model.breaker import Circuit
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.statistics import HOURS, StatisticsQuery
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore
from longstop.wiring.gateway import Gateway
from longstop.wiring.role import Role

TEXT = """
[store]
url = "memory://"
[sources.shop]
kind = "generic"
verify = { scheme = "none" }
[destinations.crm]
url = "https://crm.example"
[[routes]]
from = "shop"
to = ["crm"]
"""


def made(role: Role = Role.BOTH) -> Gateway:
    return Gateway(config.parse(TEXT, where="test", environ={}, base=Path()), role, clock=VirtualClock())


@on_virtual_time
async def test_it_is_ready_from_the_start_to_the_stop() -> None:
    gateway = made()
    await gateway.start()
    assert gateway.why_not_ready() == []
    await gateway.stop()
    assert gateway.why_not_ready() == ["stopping: nothing more is taken"]


@on_virtual_time
async def test_what_was_counted_last_is_in_the_store_when_it_has_stopped() -> None:
    gateway = made(Role.INGEST)
    await gateway.start()
    await gateway.ingest.publish("shop", Request(Headers(), b"{}"))
    store, now_ms = gateway.store, VirtualClock().now_ms()
    hour = StatisticsQuery("accepted", HOURS.step_ms, HOURS.start(now_ms), now_ms + 1, HOURS.step_ms)
    assert await store.statistics(hour) == []
    await gateway.stop()
    assert [each.n for each in await store.statistics(hour)] == [1]


@on_virtual_time
async def test_a_gateway_that_has_stopped_asks_its_store_nothing() -> None:
    """The operators' port is open for a moment longer."""
    gateway = made()
    await gateway.start()
    assert b"longstop_store_up 1.0" in (await gateway.metrics.answer()).body
    await gateway.stop()
    await asyncio.sleep(5)
    told = (await gateway.metrics.answer()).body
    assert b"longstop_store_up 0.0" in told
    assert b"longstop_ready 0.0" in told


@on_virtual_time
async def test_a_destination_that_is_down_is_no_reason() -> None:
    gateway = made()
    await gateway.start()
    await gateway.store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 10**9, 5, "it fails"))
    await asyncio.sleep(5)
    assert gateway._circuit_is_open("crm")
    assert gateway.why_not_ready() == []
    await gateway.stop()


@on_virtual_time
async def test_a_part_that_failed_is_named() -> None:
    gateway = made()
    await gateway.start()

    async def fails() -> None:
        raise RuntimeError("a fault of ours")

    gateway._background(fails(), "rescue")
    await settle_down()
    assert gateway.why_not_ready() == ["a part of the gateway has failed: rescue"]
    await gateway.stop()


@on_virtual_time
async def test_a_store_that_is_lost() -> None:
    gateway = made()
    await gateway.start()
    store: Any = gateway.store
    store._store.ready = lambda: False
    (why,) = gateway.why_not_ready()
    assert why.startswith("the store is lost: ")
    store._store.ready = lambda: True
    assert gateway.why_not_ready() == []
    await gateway.stop()


@on_virtual_time
async def test_what_keeps_senders_out_is_told_by_who_accepts() -> None:
    for role, whys in ((Role.INGEST, ["too many deliveries wait"]), (Role.WORK, [])):
        gateway = made(role)
        await gateway.start()
        gateway._pressure.why_closed = lambda **_: ["too many deliveries wait"]  # type: ignore[method-assign]
        assert gateway.why_not_ready() == whys
        await gateway.stop()


@on_virtual_time
async def test_each_mark_is_told_in_words_and_only_while_it_is_reached() -> None:
    gate = Limited()
    assert gate.pressure.why_closed() == []
    gate.free_bytes = 499
    await gate.pressure.look()
    assert gate.pressure.why_closed() == ["the store's disk is nearly full: less than 500 bytes are free"]
    gate.free_bytes = 500
    for _ in range(4):
        await gate.post(b"{}")
        await VirtualClock().sleep(1)
    await gate.pressure.look()
    assert gate.pressure.why_closed() == ["too many deliveries wait: the mark is 3"]
    gate.store._store._deliveries.clear()
    await gate.pressure.look()
    assert gate.pressure.why_closed() == []


@on_virtual_time
async def test_a_store_that_cannot_be_read_is_a_reason_until_it_can() -> None:
    gate = Limited()
    assert isinstance(gate.store, FaultyStore)
    gate.store.fail("counts")
    await gate.pressure.look()
    assert gate.pressure.why_closed() == ["the store could not be read when it was last tried"]
    await gate.pressure.look()
    assert gate.pressure.why_closed() == []
