"""A gateway on a PostgreSQL that somebody does something to: what senders are told, and what is there afterwards."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from acceptance.harness import Answer, Process, Site, wait_until
from postgres_server import PostgresServer

ROLE = "app"
"""Who the gateway is to the server: nobody special, as it should be."""
DATABASE = "longstop"
ITS_CONNECTIONS = f"FROM pg_stat_activity WHERE usename = '{ROLE}' AND pid <> pg_backend_pid()"


class Gateway:
    """A gateway that is never started again, and one who posts to it."""

    def __init__(self, site: Site, server: PostgresServer, more: str = "") -> None:
        self.site, self.server = site, server
        server.sql(f"CREATE ROLE {ROLE} LOGIN")
        server.sql(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        site.configure(lease="2s", attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
        url = server.url(DATABASE, ROLE) + more
        site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", url))
        self.answers: Counter[int] = Counter()
        self.slowest_s = 0.0
        """The longest that an answer took."""
        self._accepted: set[str] = set()
        self._numbers = 0
        self._process: Process = site.start("serve").ready()
        self.until(200)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._process.err

    def told(self, event: str) -> int:
        """How often it has said this."""
        return self.log.count(f'"event": "{event}"')

    def until(self, status: int) -> None:
        """Post event after event, until one is answered with this status."""
        wait_until(lambda: self.post() == status, f"a sender to be told {status}")

    def post(self) -> int:
        """Post the next event, or the last again where it was not taken; its answer's status, which is 200 or 503."""
        answer, took_s = self._sent(json.dumps({"id": f"event-{self._numbers}", "type": "paid"}).encode())
        self.slowest_s = max(self.slowest_s, took_s)
        self.answers[answer.status] += 1
        assert answer.status in (200, 503), answer
        if answer.status == 200:
            self._accepted.add(answer.json["id"])
            self._numbers += 1
        else:
            assert int(answer.headers["retry-after"]) >= 1
            time.sleep(0.02)
        return answer.status

    def _sent(self, body: bytes) -> tuple[Answer, float]:
        began_s = time.monotonic()
        answer = self.site.post("shop", body)
        return answer, time.monotonic() - began_s

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """It does nothing meanwhile."""
        self._process.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.popen.send_signal(signal.SIGCONT)

    def disconnect(self) -> None:
        """End all its connections, on the server's side."""
        self.server.sql(f"SELECT pg_terminate_backend(pid) {ITS_CONNECTIONS}")

    def ends_whole(self) -> None:
        """Everything that was acknowledged is there once, and is delivered; and it is the process that it was."""
        self.until(200)
        assert self._process.popen.poll() is None, self.log
        wait_until(lambda: not self._waiting(), "all to be delivered")
        kept = [row["id"] for row in self.site.ask("events", "list", "--limit", "1000000").rows]
        assert sorted(kept) == sorted(self._accepted), "an event too few, or one too many"
        came = {arrival.webhook_id for arrival in self.site.destination.arrivals}
        assert came == self._accepted

    def _waiting(self) -> int:
        destinations = self.site.ask("status").row["destinations"]
        return sum(each["scheduled"] + each["leased"] for each in destinations)


def fill(file: Path, leaving: int) -> None:
    """Make a file that leaves so many bytes of its disk."""
    with file.open("wb") as out:
        while (free := _free(file)) > leaving:
            out.write(b"\0" * min(1 << 20, free - leaving))
            out.flush()


def _free(file: Path) -> int:
    found = os.statvfs(file.parent)
    return found.f_bavail * found.f_frsize
