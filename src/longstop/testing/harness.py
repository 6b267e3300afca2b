"""A whole application under test: its gateway in memory, on virtual time.

    from longstop.testing import Harness, run
    from myapp import gateway

    def test_a_paid_order_reaches_the_crm() -> None:
        async def main() -> None:
            async with Harness(gateway, environ={"SHOP_SECRET": "a secret of the test's"}) as app:
                answer = await app.post("shop", b'{"id": 1}')
                await app.idle()
                assert await app.states(answer.event_id) == {"crm": "delivered"}

        run(main)

Requests are signed as their sender would sign them. Hours pass at once: `await app.advance(hours=1)`.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from longstop.model.delivery import Delivery, State
from longstop.model.listing import DeliveryFilter, KeptEvent, Listing, Page
from longstop.model.settings import SourceSettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around, path_below
from longstop.ports import Clock
from longstop.testing.clock import VirtualClock

STEP_S = 0.001
"""Virtual time that passes between two looks at whether the gateway is idle."""
BUSY_S_MAX = 3600.0
"""A handler that takes longer, in virtual time, is taken for one that hangs."""


class Config(Protocol):
    """What the harness reads of a configuration."""

    @property
    def sources(self) -> tuple[SourceSettings, ...]:
        """The configured sources."""


class Gateway(Protocol):
    """An application's gateway: `longstop.Longstop`."""

    def load(self, environ: Mapping[str, str] | None = None, store: str | None = None) -> Config:
        """See Longstop."""

    async def start(
        self, *, store: str | None = None, clock: Clock | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """See Longstop."""

    async def stop(self) -> None:
        """See Longstop."""

    def is_busy(self) -> bool:
        """See Longstop."""

    @property
    def failure(self) -> BaseException | None:
        """See Longstop."""

    @property
    def ingest(self) -> Callable[[Any, Any, Any], Awaitable[None]]:
        """See Longstop."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See Longstop."""

    async def find(self, wanted: DeliveryFilter = ..., page: Page = ...) -> Listing[Delivery]:
        """See Longstop."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a sender was answered."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]

    def json(self) -> Any:
        """The answer's body. Raises ValueError where it is no JSON."""
        return json.loads(self.body)

    @property
    def event_id(self) -> str:
        """The id of the event that it is about. Raises KeyError where it names none."""
        return str(self.json()["id"])


class Harness:
    """A gateway that runs within `async with`, in a virtual event loop (`longstop.testing.run`).

    environ: what `${NAME}` in the configuration stands for. store: memory unless a URL is given.
    """

    def __init__(self, gateway: Gateway, *, environ: Mapping[str, str] | None = None, store: str = "memory://") -> None:
        self._gateway = gateway
        self._environ = dict(environ or {})
        self._store = store
        self._clock = VirtualClock()

    async def __aenter__(self) -> "Harness":
        self._clock.now_ms()
        config = self._gateway.load(self._environ, self._store)
        self._sources = {each.name: each for each in config.sources}
        await self._gateway.start(store=self._store, clock=self._clock, environ=self._environ)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        failure = self._gateway.failure
        await self._gateway.stop()
        if kind is None:
            _expect_whole(failure)

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the Unix epoch, UTC."""
        return self._clock.now_ms()

    async def post(
        self, source: str, body: bytes, headers: Iterable[tuple[str, str]] = (), *, signed: bool = True
    ) -> Posted:
        """Post a body as the source's sender would, with its signature unless told otherwise; the answer.

        Raises KeyError for a source that is not configured, ConfigurationError for one without a secret to sign with.
        """
        settings = self._sources[source]
        proof = sign(settings, body, self.now_ms) if signed else []
        everything = [*headers_around(settings, body), *proof, *headers]
        return await self._call(f"/{source}{path_below(settings)}", body, everything)

    async def advance(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass. Whatever comes due in it happens in its order. Raises RuntimeError as `idle`."""
        await self._clock.sleep(hours * 3600 + minutes * 60 + seconds)
        _expect_whole(self._gateway.failure)

    async def idle(self) -> None:
        """Returns when no attempt is under way and none is due now.

        Raises TimeoutError after an hour, RuntimeError where a part of the gateway failed: it would be idle for ever.
        """
        until_ms = self.now_ms + round(BUSY_S_MAX * 1000)
        await self._clock.sleep(STEP_S)
        while self._gateway.is_busy():
            if self.now_ms > until_ms:
                raise TimeoutError(f"attempts are still under way after {BUSY_S_MAX:g} virtual seconds")
            await self._clock.sleep(STEP_S)
        _expect_whole(self._gateway.failure)

    async def deliveries(self, wanted: DeliveryFilter | None = None) -> list[Delivery]:
        """The deliveries that a filter selects, oldest first; without one, all."""
        found: list[Delivery] = []
        after: str | None = None
        while True:
            listing = await self._gateway.find(wanted or DeliveryFilter(), Page(500, after, newest_first=False))
            found += listing.rows
            after = listing.next_after
            if after is None:
                return found

    async def states(self, event_id: str) -> dict[str, State]:
        """An event's deliveries: destination to state. Raises KeyError where there is no such event."""
        kept = await self._gateway.event(event_id)
        if kept is None:
            raise KeyError(event_id)
        return {each.destination: each.state for each in kept.deliveries}

    async def _call(self, path: str, body: bytes, headers: Iterable[tuple[str, str]]) -> Posted:
        sent: list[MutableMapping[str, Any]] = []
        length = ("content-length", str(len(body)))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.lower().encode(), text.encode("latin-1")) for name, text in (*headers, length)],
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._gateway.ingest(scope, receive, send)
        start, end = sent
        said = tuple((name.decode(), text.decode("latin-1")) for name, text in start["headers"])
        return Posted(start["status"], end["body"], said)


def _expect_whole(failure: BaseException | None) -> None:
    if failure is not None:
        raise RuntimeError("a part of the gateway failed, and what it did is done no more; see the cause") from failure
