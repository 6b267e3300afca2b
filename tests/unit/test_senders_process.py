"""The sender for isolated handlers, with real processes: what a handler does to its worker, and to nothing else."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

import longstop
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.event import Headers, Origin
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders import process
from longstop.senders.process import ProcessSender
from longstop.senders.process_worker import event as decoded
from longstop.senders.process_worker import frame, job
from longstop.testing.builders import make_delivery, make_event

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what still runs")

LIMIT_S = 20.0
SUCCESS = Outcome(OutcomeKind.SUCCESS)
MODULE = "isolated_handlers_of_a_test"
HANDLERS = '''
"""Named in the tests; each is called in a worker. What they tell is in files beside this one."""
import asyncio, atexit, ctypes, hashlib, json, os, re, signal, subprocess, sys, threading, time
from pathlib import Path
from longstop import Reject, RetryLater

HERE = Path(__file__).parent

def tell(name, text=""):
    (HERE / f"{name}.new").write_text(str(text))
    (HERE / f"{name}.new").rename(HERE / name)

def hang():
    tell("pid", os.getpid())
    signal.pause()

def note_pid(event):
    with (HERE / "pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")

def show(event):
    tell("event", repr(event) + repr((event.body, event.headers.raw, event.dedup)))

def raising(event):
    raise eval(event.body)

async def raising_async(event):
    await asyncio.sleep(0)
    raise eval(event.body)

def exits(event):
    note_pid(event)
    os._exit(int(event.body))

def reads_address_0(event):
    ctypes.string_at(0)

def is_killed(event):
    os.kill(os.getpid(), signal.SIGKILL)

async def exits_async(event):
    await asyncio.sleep(0)
    os._exit(3)

def hangs(event):
    hang()

def gets_signals(event):
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    child.terminate()
    tell("child", child.wait())

def waits_for_the_others(event):
    (HERE / f"here-{os.getpid()}").touch()
    while len(list(HERE.glob("here-*"))) < int(event.body):
        time.sleep(0.01)

async def hangs_async(event):
    tell("pid", os.getpid())
    await asyncio.Event().wait()

def hangs_in_c(event):
    tell("pid", os.getpid())
    re.match("(a+)+$", "a" * 60 + "b")

def hangs_with_a_child(event):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    tell("child", child.pid)
    hang()

def forks_and_exits(event):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        signal.pause()
    tell("child", child)
    os._exit(3)

def starts_and_exits(event):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], close_fds=False)
    tell("child", child.pid)
    os._exit(3)

def prints(event):
    print("printed")
    sys.stdout.buffer.write(b"\\x00\\x00\\x00\\x05 written\\n")
    print("for people", file=sys.stderr)
    os.write(1, b"by the descriptor\\n")
    subprocess.run([sys.executable, "-c", "print('by a child')"])
    if event.body == b"die":
        sys.stdout.write("last words")
        os._exit(3)

def digest(event):
    raise Reject(hashlib.sha256(event.body).hexdigest())

loops = []

async def knows_its_loop(event):
    loops.append(asyncio.get_running_loop())
    if loops[0] is not loops[-1] or len(loops) < int(event.body):
        raise Reject(f"{len(loops)} calls")

def writes_junk(event):
    os.write(int(sys.orig_argv[4]), event.body)
    hang()

def open_files():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # what the listing itself had open
    return found

def tells_its_surroundings(event):
    files = {str(fd): what for fd, what in open_files().items()}
    tell("around", json.dumps({"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "files": files}))

def leaves_word(event):
    atexit.register(tell, "left")

def will_not_leave(event):
    tell("pid", os.getpid())
    atexit.register(signal.pause)
'''
EXPECTED_ERRORS = [
    (
        "RetryLater(after=60)",
        Outcome(OutcomeKind.RETRY, error="the handler asked to be called again", retry_after_s=60),
    ),
    ("RetryLater(0.5, 'CRM is full')", Outcome(OutcomeKind.RETRY, error="CRM is full", retry_after_s=0.5)),
    (
        "RetryLater(__import__('decimal').Decimal('0.5'), 'soon')",
        Outcome(OutcomeKind.RETRY, error="soon", retry_after_s=0.5),
    ),
    ("RetryLater()", Outcome(OutcomeKind.RETRY, error="the handler asked to be called again")),
    ("Reject('no such customer')", Outcome(OutcomeKind.REJECT, error="no such customer")),
    ("ValueError('bad field')", Outcome(OutcomeKind.RETRY, error="ValueError: bad field", raised=True)),
    ("OSError('\\udc80')", Outcome(OutcomeKind.RETRY, error="OSError: ?", raised=True)),
    ("SystemExit(1)", Outcome(OutcomeKind.RETRY, error="SystemExit: 1", raised=True)),
    ("KeyboardInterrupt()", Outcome(OutcomeKind.RETRY, error="KeyboardInterrupt", raised=True)),
    ("asyncio.CancelledError()", Outcome(OutcomeKind.RETRY, error="CancelledError", raised=True)),
    ("ValueError('x' * 200_000)", Outcome(OutcomeKind.RETRY, error="ValueError: " + "x" * 488, raised=True)),
]
Make = Callable[..., ProcessSender]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the handlers, which only `sys.path` leads to."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
async def make(here: Path) -> AsyncIterator[Make]:
    """Makes senders for a handler of the module, and closes them."""
    made: list[ProcessSender] = []

    def sender(
        name: str, timeout_ms: int = 20_000, module: str = MODULE, env: tuple[str, ...] = (), **more: Any
    ) -> ProcessSender:
        handler = f"{module}:{name}"
        settings = DestinationSettings("crm", handler=handler, isolation="process", timeout_ms=timeout_ms, env=env)
        made.append(ProcessSender(settings, **more))
        return made[-1]

    yield sender
    for each in made:
        await asyncio.wait_for(each.close(), LIMIT_S)


def claim(body: bytes = b"{}", **changes: Any) -> Claim:
    event = make_event(body=body, **changes)
    return Claim(make_delivery(event), event)


async def sent(sender: ProcessSender, body: bytes = b"{}") -> Outcome:
    return await asyncio.wait_for(sender.send(claim(body), 1), LIMIT_S)


def crashed(how: str) -> Outcome:
    return Outcome(OutcomeKind.CRASHED, error=f"crashed: the handler's process {how}")


async def test_a_worker_takes_only_along_what_it_is_given(
    make: Make, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret of anybody else, no file, no word of the gateway's command line."""
    for name in ("GENESYS_SECRET", "AWS_SECRET_ACCESS_KEY", "MY_PATH", "LC", "XPYTHONPATH", "HTTPS_PROXY", "CRM_TOKEN"):
        monkeypatch.setenv(name, f"canary-{name}")
    for name in ("TZ", "LC_ALL", "PYTHONHASHSEED", "VIRTUAL_ENV", "TMPDIR"):
        monkeypatch.setenv(name, "0" if name == "PYTHONHASHSEED" else f"/tmp/{name}")
    with (here / "a file of the gateway").open("w") as file, socket.socket() as listening:
        others = [os.readlink(f"/proc/self/fd/{each.fileno()}") for each in (file, listening)]
        for each in (file, listening):
            os.set_inheritable(each.fileno(), True)
        assert await sent(make("tells_its_surroundings", env=("CRM_TOKEN", "NOT_SET"))) == SUCCESS
    around = json.loads(await told(here, "around"))
    assert around["env"]["CRM_TOKEN"] == "canary-CRM_TOKEN"
    assert [value for value in around["env"].values() if "canary" in value] == ["canary-CRM_TOKEN"]
    assert {"PATH", "TZ", "LC_ALL", "PYTHONHASHSEED", "VIRTUAL_ENV", "TMPDIR"} <= set(around["env"])
    assert around["argv"] == ["-c"]
    assert around["cwd"] == os.getcwd()
    assert around["files"].pop("0") == "/dev/null"
    assert around["files"].pop("1") == around["files"].pop("2")
    assert not set(others) & set(around["files"].values())


def alive(pid: int) -> bool:
    """Whether the process runs. One that has ended and that nobody waited for does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


async def until(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < end, f"waited in vain for: {what}"
        await asyncio.sleep(0.01)
    return found


async def told(here: Path, name: str) -> str:
    """What a handler told in a file, when it has."""
    await until((here / name).exists, f"the handler to tell its {name}")
    return (here / name).read_text()


def pids(here: Path) -> list[int]:
    return [int(line) for line in (here / "pids").read_text().split()]


# -- what goes in and what comes out --------------------------------------------------------------


async def test_the_event_arrives_whole(make: Make, here: Path) -> None:
    event = make_event(
        body=bytes(range(256)),
        headers=Headers.from_wire([(b"X-Odd", b"\xff\x00"), (b"x-odd", b"again")]),
        key=None,
        dedup=b"\xfe",
        origin=Origin.REPLAY,
        parent="p",
        occurred_at_ms=-1,
    )
    assert await make("show").send(Claim(make_delivery(event), event), 1) == SUCCESS
    assert await told(here, "event") == repr(event) + repr((event.body, event.headers.raw, event.dedup))
    assert decoded(frame(job(event))[4:]) == event


@pytest.mark.parametrize("name", ["raising", "raising_async"])
async def test_an_exception_says_the_same_as_in_the_gateway(make: Make, name: str) -> None:
    sender = make(name)
    for error, outcome in EXPECTED_ERRORS:
        assert await sent(sender, error.encode()) == outcome, error


async def test_a_big_body_arrives(make: Make) -> None:
    body = os.urandom(5_000_000)
    assert (await sent(make("digest"), body)).error == hashlib.sha256(body).hexdigest()


async def test_what_a_handler_prints_goes_to_standard_error_and_nowhere_else(
    make: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    sender = make("prints")
    assert [await sent(sender), await sent(sender)] == [SUCCESS, SUCCESS]
    assert await sent(sender, b"die") == crashed("ended with exit status 3")
    out, err = capfd.readouterr()
    assert out == ""
    for text in ("printed\n", " written\n", "for people\n", "by the descriptor\n", "by a child\n"):
        assert err.count(text) == 3
    assert err.endswith("last words")


async def test_all_attempts_of_a_worker_run_in_one_loop(make: Make) -> None:
    sender = make("knows_its_loop")
    assert [await sent(sender, b"%d" % count) for count in (1, 2, 3)] == [SUCCESS] * 3


def test_it_runs_on_uvloop(here: Path) -> None:
    async def attempts() -> list[Outcome]:
        sender = ProcessSender(DestinationSettings("crm", handler=f"{MODULE}:exits_async", timeout_ms=20_000))
        hung = ProcessSender(DestinationSettings("crm", handler=f"{MODULE}:hangs", timeout_ms=100))
        digest = ProcessSender(DestinationSettings("crm", handler=f"{MODULE}:digest", timeout_ms=20_000))
        outcomes = [await sent(sender), await sent(hung), await sent(digest, b"x" * 5_000_000)]
        for each in (sender, hung, digest):
            await each.close()
        return outcomes

    crash, late, digest = uvloop.run(attempts())
    assert crash == crashed("ended with exit status 3")
    assert (late.kind, digest.error) == (OutcomeKind.RETRY, hashlib.sha256(b"x" * 5_000_000).hexdigest())


# -- dying ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "how"),
    [
        ("exits", b"0", "ended with exit status 0"),
        ("exits", b"3", "ended with exit status 3"),
        ("exits_async", b"", "ended with exit status 3"),
        ("reads_address_0", b"", "was ended by SIGSEGV"),
        (
            "is_killed",
            b"",
            "was ended by SIGKILL: somebody killed it, as the system does when memory is short",
        ),
    ],
)
async def test_a_worker_that_dies_takes_only_its_attempt(make: Make, name: str, body: bytes, how: str) -> None:
    sender = make(name)
    assert await asyncio.gather(sent(sender, body), sent(sender, body)) == [crashed(how)] * 2
    assert await sent(sender, body) == crashed(how)


@pytest.mark.parametrize("name", ["forks_and_exits", "starts_and_exits"])
async def test_a_death_is_noticed_though_a_child_lives_on(make: Make, here: Path, name: str) -> None:
    try:
        assert await sent(make(name)) == crashed("ended with exit status 3")
    finally:
        os.kill(int(await told(here, "child")), signal.SIGKILL)


@pytest.mark.parametrize("junk", [b"\x00\x00\x00\x01\xc1", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc0"])
async def test_a_worker_that_makes_no_sense_is_ended(make: Make, here: Path, junk: bytes) -> None:
    assert await sent(make("writes_junk"), junk) == crashed("lives and makes no sense any more")
    pid = int(await told(here, "pid"))
    await until(lambda: not alive(pid), "the worker to be ended")


async def test_a_worker_that_died_while_it_was_idle_is_replaced_and_no_crash(make: Make, here: Path) -> None:
    sender = make("note_pid")
    assert await sent(sender) == SUCCESS
    (first,) = pids(here)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not alive(first), "the idle worker to be dead")
    assert await sent(sender) == SUCCESS
    assert len(set(pids(here))) == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import os; os._exit(7)", "the worker ended with exit status 7 before it could begin"),
        ("", "handler 'started_badly:f': module started_badly was imported, but it has no f"),
        ("raise ValueError('no CRM_URL')", "handler 'started_badly:f': importing started_badly failed: ValueError: no"),
    ],
)
async def test_a_worker_that_cannot_begin_is_a_retry_and_no_crash(
    make: Make, here: Path, text: str, error: str
) -> None:
    (here / "started_badly.py").write_text(text)
    outcome = await sent(make("f", module="started_badly"))
    assert (outcome.kind, (outcome.error or "")[: len(error)]) == (OutcomeKind.RETRY, error)


async def test_where_no_process_can_be_started_it_is_a_retry(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    expected = Outcome(OutcomeKind.RETRY, error="no worker could be started: No such file or directory")
    assert await sent(make("show")) == expected


async def told_by_one_that_hangs(sender: ProcessSender, here: Path, name: str, expected: Outcome) -> str:
    """What a handler told before it was killed. On a busy machine that may be before it has: then another one does."""
    (here / name).unlink(missing_ok=True)
    while not (here / name).exists():
        assert await sent(sender) == expected
    return (here / name).read_text()


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hangs", "hangs_async", "hangs_in_c"])
async def test_at_the_timeout_the_worker_is_killed(make: Make, here: Path, name: str) -> None:
    sender = make(name, timeout_ms=200)
    expected = Outcome(OutcomeKind.RETRY, error="timeout: the handler was not done after 0.2 s")
    pid = int(await told_by_one_that_hangs(sender, here, "pid", expected))
    await until(lambda: not alive(pid), "the worker to be killed")
    assert int(await told_by_one_that_hangs(sender, here, "pid", expected)) != pid


async def test_what_a_handler_has_started_ends_with_it_at_the_timeout(make: Make, here: Path) -> None:
    expected = Outcome(OutcomeKind.RETRY, error="timeout: the handler was not done after 0.5 s")
    sender = make("hangs_with_a_child", timeout_ms=500)
    child = int(await told_by_one_that_hangs(sender, here, "child", expected))
    await until(lambda: not alive(child), "the child to be killed")


async def test_the_timeout_does_not_count_the_start(make: Make, here: Path) -> None:
    (here / "slow_to_import.py").write_text("import time; time.sleep(1.2)\ndef f(event): pass")
    assert await sent(make("f", module="slow_to_import", timeout_ms=1_000)) == SUCCESS


async def test_a_worker_that_never_gets_ready_is_ended(make: Make, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_LIMIT_S", 0.3)
    text = f"import os, signal\nopen({str(here / 'pid')!r}, 'w').write(str(os.getpid()))\nsignal.pause()"
    (here / "never_imported.py").write_text(text)
    outcome = await sent(make("f", module="never_imported"))
    assert outcome == Outcome(OutcomeKind.RETRY, error="the worker had not imported the handler after 0.3 s")
    if (here / "pid").exists():
        await until(lambda: not alive(int((here / "pid").read_text())), "the worker to be ended")


# -- how many, and for how long -------------------------------------------------------------------


async def test_attempts_run_side_by_side_each_in_a_process_of_its_own(make: Make) -> None:
    sender = make("waits_for_the_others")
    assert await asyncio.gather(*(sent(sender, b"3") for _ in range(3))) == [SUCCESS] * 3


async def test_a_worker_is_kept_and_replaced_after_so_many_attempts(make: Make, here: Path) -> None:
    sender = make("note_pid", recycle_after=3)
    for _ in range(7):
        assert await sent(sender) == SUCCESS
    seen = pids(here)
    assert [seen.count(pid) for pid in dict.fromkeys(seen)] == [3, 3, 1]
    for pid in set(seen[:6]):
        await until(lambda pid=pid: not alive(pid), "a worker that has done its share to be gone")
    assert alive(seen[6])


# -- the end --------------------------------------------------------------------------------------


async def test_a_cancelled_attempt_ends_with_its_worker(make: Make, here: Path) -> None:
    sender = make("hangs")
    sending = asyncio.create_task(sender.send(claim(), 1))
    pid = int(await told(here, "pid"))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await until(lambda: not alive(pid), "the worker to be killed")


async def test_closing_lets_idle_workers_leave_by_themselves(make: Make, here: Path) -> None:
    sender = make("leaves_word")
    await sent(sender)
    await sender.close()
    assert (here / "left").exists()
    await sender.close()


async def test_closing_ends_a_worker_that_will_not_leave(
    make: Make, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_LIMIT_S", 0.3)
    sender = make("will_not_leave")
    await sent(sender)
    await sender.close()
    assert not alive(int(await told(here, "pid")))


async def test_closing_ends_what_is_at_work_and_nothing_is_begun_afterwards(make: Make, here: Path) -> None:
    sender = make("hangs")
    sending = asyncio.create_task(sender.send(claim(), 1))
    pid = int(await told(here, "pid"))
    await sender.close()
    assert (await sending).kind is OutcomeKind.INTERRUPTED
    await until(lambda: not alive(pid), "the worker to be killed")
    assert (await sent(sender)).kind is OutcomeKind.INTERRUPTED


async def test_a_stop_sent_to_all_processes_does_not_break_off_attempts(make: Make, here: Path) -> None:
    assert await sent(make("gets_signals")) == SUCCESS
    assert await told(here, "child") == str(-signal.SIGTERM), "what a handler starts ignores signals too"


@pytest.mark.parametrize("name", ["hangs", "hangs_async"])
async def test_a_worker_at_work_ends_when_its_socket_closes(here: Path, name: str) -> None:
    worker = process._Worker(f"{MODULE}:{name}", os.environ)
    await worker.hear()
    working = asyncio.create_task(worker.work_on(frame(job(make_event()))))
    pid = int(await told(here, "pid"))
    working.cancel()
    await asyncio.wait([working])
    worker._end.close()
    await until(lambda: not alive(pid), "the worker to end by itself")
    await worker.leave()


async def test_idle_workers_end_when_their_socket_closes_even_with_a_thread_that_goes_on(here: Path) -> None:
    (here / "threaded.py").write_text(
        "import threading\ndef f(event): threading.Thread(target=threading.Event().wait).start()"
    )
    code = "import longstop.senders.process_worker as w; w.EXIT_LIMIT_S = 0.3\n"
    boot, process._BOOT = process._BOOT, process._BOOT.replace("from", f"{code}from", 1)
    try:
        worker = process._Worker("threaded:f", os.environ)
    finally:
        process._BOOT = boot
    await worker.hear()
    await worker.work_on(frame(job(make_event())))
    worker._end.close()
    await until(lambda: worker._process.poll() is not None, "the worker to end by itself")
    assert worker._process.returncode == 1


GATEWAY = """
import asyncio
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders.process import ProcessSender
from longstop.testing.builders import make_delivery, make_event

async def main():
    event = make_event()
    sender = ProcessSender(DestinationSettings("crm", handler="HANDLER", timeout_ms=600_000))
    await sender.send(Claim(make_delivery(event), event), 1)

asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["hangs", "hangs_in_c"])
async def test_no_worker_outlives_a_gateway_that_was_killed(here: Path, name: str) -> None:
    path = os.pathsep.join([str(here), str(Path(longstop.__file__).parents[1])])
    code = GATEWAY.replace("HANDLER", f"{MODULE}:{name}")
    gateway = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    try:
        pid = int(await told(here, "pid"))
    finally:
        gateway.kill()
        gateway.wait(LIMIT_S)
    try:
        await until(lambda: not alive(pid), "the worker to end with the gateway")
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
