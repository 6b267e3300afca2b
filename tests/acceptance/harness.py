"""Running the real program from the outside: processes, ports, a destination that can be scripted, the command line.

Tests that use this see what a person and a sender see: exit statuses, standard output, HTTP. Nothing in here waits
by the clock alone: every wait is for something, and has a generous limit.
"""

import atexit
import base64
import contextlib
import functools
import hashlib
import hmac
import http.client
import io
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import longstop
from acceptance.destination import Arrival, Destination, Reply
from longstop.__main__ import command

__all__ = ["Arrival", "Destination", "Process", "Ran", "Reply", "Site"]

LIMIT_S = 30.0
"""How long anything may take before a test gives it up; ten times what a slow machine needs."""
GENESYS_SECRET = "acceptance-secret-of-genesys"
BEARER_TOKEN = "acceptance-token"
HMAC_SECRET = "acceptance-secret-of-the-shop"
READY = "Ctrl-C stops."
SQLITE = "sqlite:///longstop.db"
"""A store of the folder's own."""

Headers = Mapping[str, str]


def wait_until(holds: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """The first true value of `holds()`, asked again and again; fails when that takes longer than the limit."""
    end = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {limit_s:g} s in vain for: {what}"
        time.sleep(0.01)
    return found


@functools.cache
def _ports() -> Iterator[int]:
    """A block of ports that is this process's: whoever else runs tests here sees that its first is taken.

    From below the range that outgoing connections take theirs from: within that a connection to a closed port now and
    then reaches itself.
    """
    while True:
        first = random.SystemRandom().randrange(15_000, 32_000, 200)
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", first))
        except OSError:
            guard.close()
            continue
        atexit.register(guard.close)
        return itertools.cycle(range(first + 1, first + 200))


def free_port() -> int:
    """A port that nobody listens on; none is given out again soon."""
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("they have no end")


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(LIMIT_S)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def environment(**more: str) -> dict[str, str]:
    """The variables a program of a test runs with: this process's package, the secrets, a name for the person."""
    source = str(Path(longstop.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    secrets = {"GENESYS_SECRET": GENESYS_SECRET, "BEARER_TOKEN": BEARER_TOKEN, "HMAC_SECRET": HMAC_SECRET}
    return {**os.environ, **secrets, "PYTHONPATH": path, "LONGSTOP_USER": "tester", "PYTHONUNBUFFERED": "1", **more}


# -- signing, written anew so that a shared mistake shows ---------------------------------------


def hub_signature(body: bytes, secret: str = GENESYS_SECRET) -> dict[str, str]:
    """The header with which Genesys Cloud Open Messaging signs: base64, not hex."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"X-Hub-Signature-256": "sha256=" + base64.b64encode(digest).decode()}


def hex_signature(body: bytes, secret: str = HMAC_SECRET) -> dict[str, str]:
    """The header with which the source `shop` signs."""
    return {"X-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


PROOFS: Mapping[str, Callable[[bytes], dict[str, str]]] = {
    "genesys": hub_signature,
    "tutorial": lambda _body: {"Authorization": f"Bearer {BEARER_TOKEN}"},
    "anything": lambda _body: {"Authorization": f"Bearer {BEARER_TOKEN}"},
    "shop": hex_signature,
}
"""How the sender of each source of CONFIGURATION proves a body."""

CONFIGURATION = """\
[server]
port = {port}
admin_port = {admin_port}
stop_timeout = "{stop_timeout}"

[store]
url = "{store_url}"

[worker]
lease = "{lease}"

[sources.genesys]
kind = "genesys-open-messaging"
secrets = ["${{GENESYS_SECRET}}"]

[sources.tutorial]
kind = "genesys-webhook"
verify = {{ scheme = "bearer" }}
secrets = ["${{BEARER_TOKEN}}"]

[sources.anything]
kind = "generic"
verify = {{ scheme = "bearer" }}
secrets = ["${{BEARER_TOKEN}}"]

[sources.shop]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }}
secrets = ["${{HMAC_SECRET}}"]
dedup = "id"
type = "type"
key = "customer"

[destinations.crm]
url = "http://127.0.0.1:{destination_port}/events"
allow_private = true
timeout = "20s"
retry = {{ attempts = {attempts}, first = "{first}", cap = "{cap}", crashes = 1000, retry_after_cap = "{after_cap}" }}
"""
ROUTES = "".join(f'\n[[routes]]\nfrom = "{name}"\nto = ["crm"]\n' for name in PROOFS)


@dataclass(frozen=True)
class Answer:
    """What a sender got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Ran:
    """What a command of the command line came to."""

    exit: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[Any]:
        """The objects that `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> Any:
        """The one object that `--json` printed."""
        (row,) = self.rows
        return row


class Process:
    """A program of ours that runs in the background, its output in files."""

    def __init__(
        self, command: Sequence[str], folder: Path, name: str, env: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env=env,
                bufsize=0,
                pass_fds=pass_fds,
            )

    @property
    def out(self) -> str:
        """What it has written to standard output so far."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has written to standard error so far: its log."""
        return self._err.read_text(errors="replace")

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged so far; of a line that is just being written, nothing yet."""
        return [json.loads(line) for line in self.err.rpartition("\n")[0].splitlines() if line.startswith("{")]

    def ready(self, says: str = READY, limit_s: float = LIMIT_S) -> "Process":
        """Returns itself when it has said that it runs."""
        started = "the program to run"
        wait_until(lambda: says in self.out or says in self.err or self.popen.poll() is not None, started, limit_s)
        assert self.popen.poll() is None, f"it ended with {self.popen.returncode}:\n{self.err}"
        return self

    def go(self) -> None:
        """Write a line to its standard input, which a prelude may wait for."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(b"\n")

    def terminate(self) -> None:
        """Ask it to stop."""
        self.popen.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        return self.popen.wait(LIMIT_S)

    def stop(self) -> None:
        """Stop it as a supervisor would; fails where it does not leave with 0."""
        self.terminate()
        assert self.wait() == 0, self.err

    def kill(self) -> None:
        """End it at once, as a power cut would; nothing where it has ended already."""
        self.popen.kill()
        self.popen.wait(LIMIT_S)
        if self.popen.stdin is not None:
            self.popen.stdin.close()


class Site:
    """Where a test takes place: a folder with a configuration, its ports, one destination, the programs started."""

    def __init__(self, folder: Path, store_url: str = SQLITE) -> None:
        self.folder = folder
        self.store_url = store_url
        self.port = free_port()
        self.admin_port = free_port()
        self.destination = Destination(free_port())
        self.config = folder / "longstop.toml"
        self.within: Sequence[str] = ()
        """What the command lines of the programs begin with: `ip netns exec NAME`, say."""
        self._started: list[Process] = []
        self.configure()

    def configure(
        self,
        routes: str = ROUTES,
        attempts: int = 50,
        first: str = "20ms",
        cap: str = "200ms",
        after_cap: str = "1h",
        stop_timeout: str = "15s",
        lease: str = "3s",
        more: str = "",
    ) -> None:
        """Write the configuration; what runs already does not see it."""
        text = CONFIGURATION.format(
            port=self.port,
            admin_port=self.admin_port,
            store_url=self.store_url,
            destination_port=self.destination.port,
            attempts=attempts,
            first=first,
            cap=cap,
            after_cap=after_cap,
            stop_timeout=stop_timeout,
            lease=lease,
        )
        self.config.write_text(text + more + routes)

    def close(self) -> None:
        """End everything that was started here."""
        for process in self._started:
            process.kill()
        self.destination.close()

    def start(
        self,
        role: str = "serve",
        *options: str,
        prelude: str = "",
        within: Sequence[str] = (),
        config: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start `longstop serve`, `ingest` or `work`. `prelude` is Python that runs first: for planted bugs.

        within, config: instead of the site's own. pass_fds: descriptors that it gets.
        """
        program = ["-m", "longstop"]
        if prelude:
            program = ["-c", f"{prelude}\nimport sys\nfrom longstop.__main__ import main\nsys.exit(main())"]
        around, config = within or self.within, config or self.config
        command = [*around, sys.executable, *program, role, "--config", str(config), *options]
        return self.run_in_background(command, role, pass_fds)

    def run_in_background(self, command: Sequence[str], name: str, pass_fds: Sequence[int] = (), **env: str) -> Process:
        """Start any program in this folder."""
        process = Process(command, self.folder, f"{name}-{len(self._started)}", environment(**env), pass_fds)
        self._started.append(process)
        return process

    def serve(self) -> Process:
        """A gateway that accepts and delivers, running."""
        return self.start().ready()

    def cli(self, *words: str, stdin: bytes = b"") -> Ran:
        """Run a command to its end."""
        command = [sys.executable, "-m", "longstop", *words, "--config", str(self.config)]
        ran = subprocess.run(
            command, cwd=self.folder, env=environment(), input=stdin, capture_output=True, timeout=LIMIT_S, check=False
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr.decode(errors="replace"))

    def ask(self, *words: str) -> Ran:
        """Run a command with --json, in this process, which saves a start; fails where it does not exit with 0."""
        return self._in_this_process(*words, "--json")

    def raw(self, id_: str) -> bytes:
        """What `events show --raw` writes of an event: its body."""
        return self._in_this_process("events", "show", id_, "--raw").out

    def _in_this_process(self, *words: str) -> Ran:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
        with (
            mock.patch.dict(os.environ, environment()),
            mock.patch.object(sys, "argv", ["longstop", *words, "--config", str(self.config)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = command()
        assert status == 0, err.getvalue()
        return Ran(status, out.buffer.getvalue(), err.getvalue())  # type: ignore[attr-defined]

    def event(self, id_: str) -> Any:
        """All that is recorded of an event."""
        return self.ask("events", "show", id_).row

    def delivery(self, id_: str) -> Any:
        """An event's only delivery, as it stands."""
        (delivery,) = self.event(id_)["deliveries"]
        return delivery

    def wait_for_state(self, id_: str, state: str) -> Any:
        """The event's only delivery, when it has come to this state."""
        return wait_until(lambda: (now := self.delivery(id_))["state"] == state and now, f"{id_} to be {state}")

    def post(self, source: str, body: bytes, headers: Headers | None = None) -> Answer:
        """Post a body as the source's sender would, or with these headers instead of its proof."""
        proof = PROOFS[source](body) if headers is None else headers
        return self.request("POST", f"/webhooks/{source}", body, {"Content-Type": "application/json", **proof})

    def accept(self, source: str, body: bytes, **headers: str) -> str:
        """Post a body as the source's sender would; the id of the event that was made."""
        answer = self.post(source, body, {**PROOFS[source](body), **headers})
        assert (answer.status, answer.json["status"]) == (200, "accepted"), answer
        return str(answer.json["id"])

    def look(self, path: str) -> Answer:
        """GET on the operators' side."""
        return self.request("GET", path, b"", {}, self.admin_port)

    def request(self, method: str, path: str, body: bytes, headers: Headers, port: int | None = None) -> Answer:
        """One request on a connection of its own; `port` is the senders' unless told otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=LIMIT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
            return Answer(response.status, told, response.read())
