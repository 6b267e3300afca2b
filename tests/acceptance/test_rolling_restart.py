"""Restarted, and brought to another version, under load: nobody is refused, and nothing is lost.

Either systemd keeps the port open between two processes, or a balancer in front asks who takes requests.
"""

import asyncio
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from acceptance.harness import PROOFS, Process, Site, free_port, listens, wait_until
from acceptance.needs import needs

DEPLOY = Path(__file__).parents[2] / "deploy"
EACH = 40
"""So many are acknowledged between two steps of a restart."""


class Load:
    """Eight senders without mercy: whatever is no 200 at the first try counts. A half keeps its connections."""

    def __init__(self, port: int) -> None:
        self.acknowledged: set[str] = set()
        self.refused: Counter[str] = Counter()
        self._url = f"http://127.0.0.1:{port}/webhooks/shop"
        self._over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(30)

    def more(self) -> None:
        """Returns when some more have been acknowledged."""
        enough = len(self.acknowledged) + EACH
        wait_until(lambda: len(self.acknowledged) >= enough or self.refused, "events to be taken")

    async def _run(self) -> None:
        await asyncio.gather(*(self._send(number, keeps=number % 2 == 0) for number in range(8)))

    async def _send(self, sender: int, keeps: bool) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=not keeps), timeout=timeout
        ) as session:
            number = 0
            while not self._over:
                number += 1
                body = json.dumps({"id": f"{sender}-{number}", "customer": f"c-{sender}"}).encode()
                try:
                    async with session.post(self._url, data=body, headers=PROOFS["shop"](body)) as response:
                        answer = await response.read()
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.refused[f"{type(error).__name__}: {error}"] += 1
                    continue
                if response.status == 200:
                    self.acknowledged.add(json.loads(answer)["id"])
                else:
                    self.refused[f"HTTP {response.status}"] += 1
                await asyncio.sleep(0.01)


def every_one_is_delivered(site: Site, load: Load) -> None:
    wait_until(lambda: site.ask("status").row["oldest_waiting_at"] is None, "everything to be delivered")
    assert {each.webhook_id for each in site.destination.arrivals} >= load.acknowledged
    kept = {row["id"] for row in site.ask("events", "list", "--limit", "100000").rows}
    assert kept == load.acknowledged, "each is one event, and there is no other"


@pytest.fixture
def kept_open() -> Iterator[socket.socket]:
    """A port that stays open whoever takes connections from it, as systemd's are."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as made:
        yield made


def with_drain(site: Site, drain: str) -> None:
    site.config.write_text(site.config.read_text().replace("[server]", f'[server]\ndrain = "{drain}"'))


def test_a_restart_behind_a_socket_of_systemd_refuses_nobody(site: Site, kept_open: socket.socket) -> None:
    with_drain(site, "2s")
    handed_on = (
        f"import os; os.dup2({kept_open.fileno()}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        # Who waits longer for a start is told to come again, which on a busy machine is no fault.
        "import longstop.wiring.serve; longstop.wiring.serve.START_PATIENCE_S = 20.0"
    )

    def start() -> Process:
        return site.start(prelude=handed_on, pass_fds=[kept_open.fileno()])

    running = start().ready()
    with Load(kept_open.getsockname()[1]) as load:
        for _ in range(2):
            load.more()
            running.stop()
            running = start()
        load.more()
    assert not load.refused
    every_one_is_delivered(site, load)


def behind_haproxy(site: Site, port: int, first: int, second: int) -> Process:
    needs("haproxy")
    text = (DEPLOY / "haproxy.cfg").read_text()
    for old, new in (
        (":443 ssl crt /etc/ssl/longstop/both.pem", f"127.0.0.1:{port}"),
        ("10.0.0.11:8080", f"127.0.0.1:{first}"),
        ("10.0.0.12:8080", f"127.0.0.1:{second}"),
        # It is also how long a connection may take: where both wait for a processor, longer than one would think.
        ("inter 2s", "inter 500ms"),
    ):
        assert old in text
        text = text.replace(old, new)
    conf = site.folder / "haproxy.cfg"
    conf.write_text(text)
    return site.run_in_background(["haproxy", "-db", "-f", str(conf)], "haproxy")


def _is_up(said: str, name: str) -> bool:
    """What HAProxy said of one last."""
    told = [line for line in said.splitlines() if f"gateways/{name} is " in line]
    return bool(told) and f"gateways/{name} is UP" in told[-1]


def test_a_rolling_upgrade_behind_a_balancer_refuses_nobody(site: Site) -> None:
    with_drain(site, "2s")
    ports = [free_port(), free_port()]

    def start(at: int, version: str) -> Process:
        config = site.folder / f"{at}.toml"
        ours = {f"port = {site.port}\n": f"port = {ports[at]}\n", str(site.admin_port): str(free_port())}
        text = site.config.read_text()
        for old, new in ours.items():
            text = text.replace(old, new)
        config.write_text(text)
        return site.start(config=config, prelude=f"import longstop; longstop.__version__ = {version!r}")

    def versions() -> list[str]:
        return sorted(each["version"] for each in site.ask("status").row["nodes"])

    running, names = [start(0, "1"), start(1, "1")], ["one", "two"]
    for each in running:
        each.ready()
    port = free_port()
    balancer = behind_haproxy(site, port, *ports)
    wait_until(lambda: listens(port), "the balancer to listen")
    with Load(port) as load:
        load.more()
        for at in (0, 1):
            running[at].stop()
            running[at] = start(at, "2").ready()
            assert versions() == [["1", "2"], ["2", "2"]][at], "both at work on one store"
            # Only then the next: until it is found, the other is the last that takes anything.
            wait_until(lambda: _is_up(balancer.err, names[at]), "the balancer to find it")  # noqa: B023
            load.more()
    assert not load.refused
    every_one_is_delivered(site, load)


def test_who_stops_says_so_first_and_takes_what_comes(site: Site) -> None:
    with_drain(site, "1h")
    running = site.serve()
    assert site.request("GET", "/healthz", b"", {}).status == 200
    running.terminate()
    wait_until(lambda: site.request("GET", "/healthz", b"", {}).status == 503, "it to say that it stops")
    ready = site.look("/readyz")
    assert (ready.status, b"a stop was asked for" in ready.body) == (503, True)
    id_ = site.accept("shop", b'{"id": "late", "customer": "c"}')
    site.wait_for_state(id_, "delivered")
    # Who has no patience asks again.
    running.terminate()
    assert running.wait() == 0
    assert not re.search(r'"level": ?"(error|critical)"', running.err)
