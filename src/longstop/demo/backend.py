"""The destination: an HTTP service of the unreliable sort.

It fails a third of its answers, has a bug that makes it refuse delivery receipts for good, and can go down
entirely: then its port is closed and connections are refused. Back again, it asks to be left alone for another
second. What it really took it writes down, by `webhook-id`.
"""

import json
import random

from aiohttp import web

from longstop.ports import Clock

FAILS = 1 / 3
"""Share of its answers that go wrong: 500, 503 or a dropped connection."""
THINKS_S = (0.01, 0.06)
"""How long an answer takes, at least and at most."""
_HOST = "127.0.0.1"


class Backend:
    """A destination that records what it took."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._runner: web.ServerRunner | None = None
        self._mended = False
        self._warming_up = False
        self.port = 0
        """0 until it is first opened; the same ever after."""
        self.delivered: dict[str, bytes] = {}
        """`webhook-id` to the body that came with it."""
        self.again = 0
        """How often something came that it had taken before."""

    @property
    def url(self) -> str:
        """Where it takes events, once it was opened."""
        return f"http://{_HOST}:{self.port}/events"

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port and every connection. Safe to call twice."""
        runner, self._runner = self._runner, None
        self._warming_up = True
        if runner is not None:
            await runner.cleanup()

    def mend(self) -> None:
        """From now on it takes everything."""
        self._mended = True

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        await self._clock.sleep(self._rng.uniform(*THINKS_S))
        if self._warming_up:
            self._warming_up = False
            return web.json_response({"error": "warming up"}, status=503, headers={"Retry-After": "1"})
        if not self._mended:
            if json.loads(body)["type"] == "Receipt":
                return web.json_response({"error": "receipts are not understood here"}, status=422)
            if self._rng.random() < FAILS:
                return self._trouble(request)
        # Nothing is awaited between the book and the answer: what it wrote down, it also says.
        self._take(request.headers["webhook-id"], body)
        return web.json_response({"taken": True})

    def _trouble(self, request: web.BaseRequest) -> web.StreamResponse:
        match self._rng.randrange(3):
            case 0:
                return web.json_response({"error": "the database is locked"}, status=500)
            case 1:
                return web.json_response({"error": "too busy"}, status=503)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _take(self, webhook_id: str, body: bytes) -> None:
        self.again += webhook_id in self.delivered
        self.delivered[webhook_id] = body
