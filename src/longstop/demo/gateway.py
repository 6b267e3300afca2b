"""The gateway of the show: its configuration, and its process, which is a real one, so that `kill -9` is real too."""

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from longstop.model.errors import LongstopError
from longstop.ports import Clock

SECRET_VARIABLE = "LONGSTOP_DEMO_SECRET"  # noqa: S105 - the variable's name
SOURCE = "genesys"
DESTINATION = "crm"

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.05
_TAIL_LINES = 12

_CONFIGURATION = """\
# What `longstop demo` ran with. The patience of the retries is short, as the whole show is.
[server]
port = {port}
admin_port = {admin_port}
stop_timeout = "5s"

[store]
url = "sqlite:///demo.db"

[worker]
lease = "3s"                    # after a kill -9, what was under way comes back this late

[sources.{source}]
kind = "genesys-open-messaging"
secrets = ["${{{secret}}}"]

[destinations.{destination}]
url = "{url}"
allow_private = true            # it is on this machine
timeout = "2s"
retry = {{ attempts = 3, first = "400ms", factor = 2.0, cap = "2s", jitter = "full" }}
breaker = {{ probe = "300ms", probe_cap = "1s" }}

[[routes]]
from = "{source}"
to = ["{destination}"]
"""


class GatewayError(LongstopError):
    """The gateway did not start; the message shows the end of its log."""


def configuration(port: int, admin_port: int, destination_url: str) -> str:
    """The text of the show's `longstop.toml`."""
    return _CONFIGURATION.format(
        port=port,
        admin_port=admin_port,
        url=destination_url,
        source=SOURCE,
        destination=DESTINATION,
        secret=SECRET_VARIABLE,
    )


def free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


class Gateway:
    """`longstop serve` as a process of its own, in a session of its own: Ctrl-C is for the show to handle."""

    def __init__(self, folder: Path, port: int, environ: Mapping[str, str], clock: Clock) -> None:
        self._configuration = folder / "longstop.toml"
        self._log = folder / "gateway.log"
        self._environ = environ
        self._clock = clock
        self._process: Process | None = None
        self.url = f"http://127.0.0.1:{port}"
        self.kills = 0
        self.answers = False
        """Whether it has started and was not ended since."""

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when it accepts. Raises GatewayError."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(), env=self._environ, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._ready(self._process)
        except TimeoutError:
            raise self._failed(f"did not answer within {READY_WITHIN_S:g} s") from None
        self.answers = True

    async def kill(self) -> None:
        """`kill -9`: no warning, no last word."""
        if self._process is not None and self.pid is not None:
            self.kills += 1
            self.answers = False
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and kill where that does not help. Safe to call twice."""
        if self._process is None or self.pid is None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "longstop", "serve", "--config", str(self._configuration))

    async def _ready(self, process: Process) -> None:
        async with aiohttp.ClientSession() as session:
            while not await self._healthy(session):
                if process.returncode is not None:
                    raise self._failed(f"ended with exit status {process.returncode}")
                await self._clock.sleep(_LOOK_EVERY_S)

    async def _healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/healthz") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def _failed(self, how: str) -> GatewayError:
        tail = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return GatewayError("\n".join([f"the gateway {how}; the end of its log, {self._log}:", *tail]))
