"""The gateway as functions: each call does what is to be done, and nothing goes on behind it.

Between two calls the process stands still, or is gone. So nothing runs in the background; what a call has to leave
behind (counts, messages, samples of what was refused) is written before it returns.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from longstop import config
from longstop.aws_api.client import read_models
from longstop.config import Config
from longstop.edges.functions import http_api, messages
from longstop.edges.senders_http.answers import problem
from longstop.edges.senders_http.app import IngestApp
from longstop.model.errors import (
    ConfigurationError,
    IngestError,
    MalformedError,
    NotFoundError,
    StoreError,
    StoreUnavailableError,
    UnavailableError,
)
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.telemetry.logs import configure_logs
from longstop.wiring.dead_messages import DeadMessages
from longstop.wiring.gateway import Gateway
from longstop.wiring.role import Role

T = TypeVar("T")

LOOK_EVERY_MS = 10_000
"""So old what is known of the backlog may be."""
RESERVED_S = 3.0
"""Of a call's time, for what follows when its attempts are over."""
AGAIN_S = 60
"""A delivery that is due and cannot go out now (paused, its circuit open, no seat free) is looked at again then; what
changes meanwhile tells of it by itself."""
SWEEP_S = 20.0

log = structlog.get_logger("longstop")


class FunctionGateway(Gateway):
    """A gateway of which nothing runs by itself."""

    _looked_at_ms: int | None = None

    async def start(self) -> None:
        """Open the store. Raises StoreError."""
        # No heartbeat: who beats does what one has to do for all, forgetting what is old, and that is the sweep's.
        # A delivery's id is made right after its event's; to find the newest, all shards of all destinations are asked.
        await self._parts.open(by_events=True)
        await self.look()
        self.ingest.accepting = True

    async def let_go(self) -> None:
        """Close what a start that failed has opened."""
        await self._parts.close()

    async def look(self) -> None:
        """Know how much waits."""
        now_ms = self._parts.clock.monotonic_ms()
        if self._looked_at_ms is None or now_ms - self._looked_at_ms >= LOOK_EVERY_MS:
            self._looked_at_ms = now_ms
            await self._pressure.look()

    async def leave_behind(self) -> None:
        """Write what would otherwise be written in a while."""
        await self._rejections.look()
        await self._rejections.flush()
        await self._signals.statistics.write()
        store: Any = self.store
        await store.told()

    async def deliver(self, limit_s: float) -> None:
        """Deliver what is due."""
        keeping = asyncio.create_task(self._dispatch.keep_leases())
        try:
            await self._dispatch.run_dry(limit_s)
            await self._settlements.idle()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def put_off(self, delivery_ids: Sequence[str]) -> None:
        """Have those of these that still stand in line looked at again."""
        store: Any = self.store
        store.tell_later(await store.standing_in_line(delivery_ids), AGAIN_S)


class Functions:
    """One process of a function, from its cold start on."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._loop = asyncio.new_event_loop()
        self._gateway: FunctionGateway | None = None
        self._config: Config | None = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def prepare(self) -> None:
        """Do before the first call what takes long and asks nobody: import, and read what there is to read.

        A process may be kept at this point and be continued many times (SnapStart). So nothing that is drawn at
        random, no connection and no moment is kept: the gateway that shows what has to be imported is thrown away, and
        the one that serves is made by the first call. Raises ConfigurationError.
        """
        settings = self._load()
        FunctionGateway(settings, self._role)
        asked = settings.store.aws
        read_models(["dynamodb", "sqs", *(["s3"] if asked is not None and asked.bucket is not None else [])])

    def _load(self) -> Config:
        if self._config is None:
            configure_logs(json=True)
            path = os.environ.get("LONGSTOP_CONFIG", "longstop.toml")
            settings = config.load(path, environ=os.environ)
            if settings.store.kind != "aws":
                found = f"store.url: found a store of {settings.store.kind}://"
                raise ConfigurationError((f"{found}; expected aws://…: a function has no disk of its own",))
            self._config = settings
        return self._config

    async def _started(self) -> FunctionGateway:
        if self._gateway is None:
            gateway = FunctionGateway(self._load(), self._role)
            if Role.WORK in self._role:
                _as_functions(gateway, self._load())
            try:
                await gateway.start()
            except BaseException:
                await gateway.let_go()
                raise
            self._gateway = gateway
        return self._gateway

    def ingest(self, event: Mapping[str, Any], _context: object) -> dict[str, Any]:
        """Answer a request of an HTTP API or a function URL."""
        return self._run(self._ingest(event))

    async def _ingest(self, event: Mapping[str, Any]) -> dict[str, Any]:
        try:
            gateway = await self._started()
        except StoreError as error:
            log.error("ingest_failed", error=str(error))
            return http_api.returned(problem(UnavailableError("the store cannot be had now; send it again")))
        await gateway.look()
        app = IngestApp(gateway.ingest, trusted_proxies=self._load().server.trusted_proxies)
        returned = await http_api.answer(app, event)
        await gateway.leave_behind()
        return returned

    def work(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Deliver what messages name, and accept the events that they are."""
        return self._run(self._work(event, context))

    async def _work(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        said = messages.read(messages.records(event))
        try:
            gateway = await self._started()
            failed = [each.message_id for each in said.envelopes if not await self._accept(gateway, each.body)]
            # As late as can be: what came before may have taken long, and what is not finished then is lost.
            await gateway.deliver(_left_s(context))
            await gateway.put_off(list(said.deliveries))
            await gateway.leave_behind()
        except StoreUnavailableError as error:
            log.error("work_failed", error=str(error))
            return messages.failures(str(each["messageId"]) for each in event["Records"])
        return messages.failures([*failed, *said.unknown])

    async def _accept(self, gateway: FunctionGateway, body: bytes) -> bool:
        """Keep an event of EventBridge; whether it is kept. One that cannot be read comes again, until the queue gives
        it to its dead letters: a person has to see it."""
        source = self._eventbridge()
        if source is None:
            log.error("eventbridge_unexpected", error="no source of kind genesys-eventbridge is configured")
            return False
        try:
            await gateway.ingest.publish(source, Request(Headers([("content-type", "application/json")]), body))
        except (MalformedError, NotFoundError, IngestError) as error:
            log.error("eventbridge_refused", source=source, error=str(error))
            return False
        return True

    def sweep(self, _event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Look after what no message names: leases that ran out, what is due, what is old."""
        return self._run(self._sweep(min(SWEEP_S, _left_s(context))))

    async def _sweep(self, limit_s: float) -> dict[str, Any]:
        # A worker as on a server, for a while: it does all that a worker does.
        gateway = Gateway(self._load(), Role.WORK)
        _as_functions(gateway, self._load())
        await gateway.start()
        try:
            seen_to = await self._dead_messages(gateway).see_to()
            await asyncio.sleep(limit_s)
        finally:
            await gateway.stop()
        return {"swept_s": limit_s, "dead_messages": seen_to}

    def _dead_messages(self, gateway: Gateway) -> DeadMessages:
        made = gateway._parts
        return DeadMessages(made.store, self._eventbridge() or "eventbridge", made.clock, made.ids)

    def _eventbridge(self) -> str | None:
        """The source that events of EventBridge are of."""
        return next((each.name for each in self._load().sources if each.kind == "genesys-eventbridge"), None)


def _as_functions(gateway: Gateway, settings: Config) -> None:
    """Limits hold for all processes together, and what is due later is told, too."""
    store: Any = gateway.store
    store.deliveries.seats = {each.name: each.concurrency for each in settings.destinations}
    store.remind_later()


def _left_s(context: Any) -> float:
    """How long a call may go on delivering, from now on."""
    return max(0.0, float(context.get_remaining_time_in_millis()) / 1000 - RESERVED_S)
