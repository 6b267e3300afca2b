"""The show: what happens when, the count, the replay of what is dead, and the count again."""

import asyncio
import contextlib
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from longstop import config, wiring
from longstop.demo.backend import Backend
from longstop.demo.gateway import DESTINATION, SECRET_VARIABLE, SOURCE, Gateway, configuration, free_ports
from longstop.demo.platform import Platform
from longstop.demo.reconcile import Reconciliation, Report, reconcile
from longstop.demo.view import DOWN, Figures, View
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.errors import StoreUnavailableError
from longstop.model.listing import Counts, DeliveryFilter
from longstop.ports import Clock

SEED = 11
QUIET_WITHIN_S = 8.0
"""How long the last retries may take before it is counted all the same."""
_LOOK_EVERY_S = 0.15
_DEMO = Caller("demo", CallerKind.SYSTEM, ALL_SCOPES)


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens when; the times in seconds, each from the end of what was before."""

    events: int = 500
    rate_per_s: float = 25.0
    outage_after_s: float = 4.0
    outage_s: float = 4.0
    kill_after_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is on stage."""

    platform: Platform
    gateway: Gateway
    backend: Backend
    parts: wiring.Parts
    """The show's own look into the store: the gateway's file, opened a second time."""
    view: View
    clock: Clock


async def perform(plan: Plan, view: View, folder: Path, backend: Backend, clock: Clock) -> Report:
    """The whole show. Raises GatewayError. However it ends, no process and no open port is left.

    folder: where configuration, database and log go.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(backend.close)
        await backend.open()
        port, admin_port = free_ports()
        text = configuration(port, admin_port, backend.url)
        (folder / "longstop.toml").write_text(text)
        environ = {**os.environ, SECRET_VARIABLE: secrets.token_hex(24)}

        gateway = Gateway(folder, port, environ, clock)
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        settings = config.parse(text, where="longstop.toml", environ=environ, base=folder)
        parts = await stack.enter_async_context(wiring.opened(settings))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        url = f"{gateway.url}/webhooks/{SOURCE}"
        platform = Platform(url, environ[SECRET_VARIABLE], session, clock, random.Random(SEED))
        cast = Cast(platform, gateway, backend, parts, view, clock)
        await stack.enter_async_context(_meanwhile(_watch(cast)))
        return await _play(plan, cast)


async def _play(plan: Plan, cast: Cast) -> Report:
    await _send(plan, cast)
    await _quiet(cast)
    before = reconcile(cast.platform.book, cast.backend.delivered)
    dead = await _deliveries(cast, DeliveryFilter(state=State.DEAD))
    _tell(cast.view, before, dead)
    await _replay(cast, dead)
    return Report(
        before=before,
        after=reconcile(cast.platform.book, cast.backend.delivered),
        redeliveries=cast.platform.duplicates,
        delivered_again=cast.backend.again,
        attempts=sum(each.attempts for each in await _deliveries(cast, DeliveryFilter())),
        dead=Counter(_reason(each) for each in dead),
        kills=cast.gateway.kills,
        seconds=cast.view.seconds,
    )


async def _send(plan: Plan, cast: Cast) -> None:
    """The events, and the troubles they run into."""
    cast.view.note(f"gateway started: pid {cast.gateway.pid}, {cast.gateway.url}, SQLite")
    cast.view.note(f"sending {plan.events} events, {plan.rate_per_s:g} a second; one answer in three fails")
    async with _meanwhile(_troubles(plan, cast)) as troubles:
        await cast.platform.run(plan.events, plan.rate_per_s)
        await troubles


async def _troubles(plan: Plan, cast: Cast) -> None:
    view, clock = cast.view, cast.clock
    await clock.sleep(plan.outage_after_s)
    await cast.backend.close()
    view.note("destination down: its port is closed", "yellow")
    await clock.sleep(plan.outage_s)
    await cast.backend.open()
    view.note("destination up again")
    await clock.sleep(plan.kill_after_s)
    view.note(f"kill -9 {cast.gateway.pid}: the gateway is dead in the middle of it all", "yellow")
    await cast.gateway.kill()
    await cast.gateway.start()
    view.note(f"gateway started again: pid {cast.gateway.pid}, same file")


async def _quiet(cast: Cast) -> None:
    """Wait until nothing is scheduled or leased, but not for ever."""
    try:
        async with asyncio.timeout(QUIET_WITHIN_S):
            while _in(await cast.parts.store.counts(), State.SCHEDULED, State.LEASED):
                await cast.clock.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        cast.view.note(f"some are still under way after {QUIET_WITHIN_S:g} s", "red")


async def _deliveries(cast: Cast, wanted: DeliveryFilter) -> list[Delivery]:
    return [each async for each in cast.parts.replay(_DEMO).select(wanted)]


def _tell(view: View, before: Reconciliation, dead: Sequence[Delivery]) -> None:
    """The first count: what is missing at the destination has to be among the dead letters."""
    lost = set(before.missing) - {each.event_id for each in dead}
    delivered = f"{before.delivered} of {before.accepted} delivered"
    view.note(f"quiet: {delivered}, {len(dead)} dead letters, {len(lost)} unaccounted for")
    for reason, number in Counter(_reason(each) for each in dead).most_common():
        errors = Counter(each.last_error or "" for each in dead if each.reason is reason)
        (error, _), *_ = errors.most_common(1)
        view.note(f"  {number:>3} {reason}, mostly: {error}")


def _reason(delivery: Delivery) -> DeadReason:
    assert delivery.reason is not None, "a dead delivery has a reason"
    return delivery.reason


async def _replay(cast: Cast, dead: Sequence[Delivery]) -> None:
    cast.backend.mend()
    cast.view.note(f"destination mended; replaying {len(dead)}")
    await cast.parts.replay(_DEMO).replay(dead)
    await _quiet(cast)


@contextlib.asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run something beside the block; it ends with the block at the latest."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(cast: Cast) -> None:
    """Keep the figures on the screen up to date, for ever."""
    while True:
        # The store may be busy for a moment while the gateway recovers it; the next look is soon.
        with contextlib.suppress(StoreUnavailableError):
            cast.view.show(_figures(cast, await cast.parts.store.counts()))
        await cast.clock.sleep(_LOOK_EVERY_S)


def _figures(cast: Cast, counts: Counts) -> Figures:
    return Figures(
        sent=len(cast.platform.book),
        accepted=counts.events,
        delivered=_in(counts, State.DELIVERED),
        retrying=_in(counts, State.SCHEDULED, State.LEASED),
        dead=_in(counts, State.DEAD),
        gateway=f"pid {cast.gateway.pid}" if cast.gateway.answers else DOWN,
        destination="up" if cast.backend.is_open else DOWN,
    )


def _in(counts: Counts, *states: State) -> int:
    return sum(counts.deliveries.get(DESTINATION, {}).get(state, 0) for state in states)
