"""Where a handler raised: kept with the attempt, logged whole, the same however the handler is called."""

import asyncio
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from cli_program import FakeProgram
from services import Works, settle_down
from structlog.testing import capture_logs

from longstop.delivering import attempt
from longstop.model.delivery import Attempt, Outcome, OutcomeKind, Transition, Trigger
from longstop.model.handler import Reject, RetryLater
from longstop.model.lease import Claim, LeaseRequest, Settlement
from longstop.model.settings import DestinationSettings
from longstop.senders.process import ProcessSender
from longstop.senders.python import FRAME_CHARS, FRAMES, TRACEBACK_CHARS, TRACEBACK_FRAMES, PythonSender, outcome_of
from longstop.senders.transactional import TransactionalSender
from longstop.telemetry.embedded_logs import log_to_logging
from longstop.telemetry.logs import configure_logs
from longstop.testing.builders import AT_MS, event_id, make_append, make_delivery, make_event
from longstop.testing.clock import run
from longstop.testing.fakes import ScriptedSender

EVENT = make_event()
CLAIM = Claim(make_delivery(EVENT), EVENT)
MODULE = "failing_handlers_of_a_test"
HANDLERS = """
class Crm:
    def save(self, event):
        password = "CANARY"
        raise ValueError("the CRM said no")

def update(event, transaction=None):
    contact = {"secret": "CANARY"}
    Crm().save(event)

async def update_async(event):
    update(event)

def recurses(event, depth=0):
    return recurses(event, depth + 1)

def recurses_by_turns(event):
    return answers(event)

def answers(event):
    return recurses_by_turns(event)

def rejects(event):
    raise __import__("longstop").Reject("never")

def takes_nothing():
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / f"{MODULE}.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    yield importlib.import_module(MODULE)
    import sys

    del sys.modules[MODULE]


async def in_process(module: Any, name: str) -> Outcome:
    sender = PythonSender(DestinationSettings("crm"), getattr(module, name))
    try:
        return await asyncio.wait_for(sender.send(CLAIM, 1), 20)
    finally:
        await sender.close()


async def isolated(_module: Any, name: str) -> Outcome:
    sender = ProcessSender(DestinationSettings("crm", handler=f"{MODULE}:{name}", isolation="process"))
    try:
        return await asyncio.wait_for(sender.send(CLAIM, 1), 20)
    finally:
        await sender.close()


async def transactional(module: Any, name: str) -> Outcome:
    sender = TransactionalSender(DestinationSettings("crm"), getattr(module, name))
    try:
        sender.call(EVENT, None)  # type: ignore[arg-type]
    except Exception as error:
        return sender.judge(error)
    return Outcome(OutcomeKind.SUCCESS)


WAYS = [
    (in_process, "update"),
    (in_process, "update_async"),
    (isolated, "update"),
    (isolated, "update_async"),
    (transactional, "update"),
]


@pytest.mark.parametrize(("way", "name"), WAYS)
async def test_the_last_frames_of_the_handler_are_kept(way: Callable[..., Any], name: str, module: Any) -> None:
    outcome = await way(module, name)
    assert (outcome.kind, outcome.error) == (OutcomeKind.RETRY, "ValueError: the CRM said no")
    own = [f"{module.__file__}:5 in Crm.save", f"{module.__file__}:9 in update"]
    if name == "update_async":
        own.append(f"{module.__file__}:12 in update_async")
    assert outcome.frames.split("\n") == own[::-1]


@pytest.mark.parametrize(("way", "name"), WAYS)
async def test_the_traceback_is_whole_and_shows_no_values(way: Callable[..., Any], name: str, module: Any) -> None:
    outcome = await way(module, name)
    assert outcome.traceback.startswith("Traceback (most recent call last):\n")
    assert outcome.traceback.endswith("ValueError: the CRM said no")
    assert "in save" in outcome.traceback
    # The line that raised is shown, as everywhere; the values of variables are not.
    assert "CANARY" not in outcome.traceback + outcome.frames


@pytest.mark.parametrize("way", [in_process, isolated])
async def test_of_many_frames_a_few_are_kept(way: Callable[..., Any], module: Any) -> None:
    outcome = await way(module, "recurses")
    assert outcome.frames.split("\n") == [f"{module.__file__}:15 in recurses"] * FRAMES
    assert len(outcome.traceback) <= TRACEBACK_CHARS
    assert outcome.error.startswith("RecursionError")


async def test_a_long_traceback_costs_no_more_than_a_short_one(module: Any) -> None:
    outcome = await in_process(module, "recurses_by_turns")
    assert (outcome.traceback or "").count("  File ") == TRACEBACK_FRAMES


@pytest.mark.parametrize("way", [in_process, isolated])
async def test_a_handler_that_was_not_entered_has_no_frames(way: Callable[..., Any], module: Any) -> None:
    outcome = await way(module, "takes_nothing")
    assert outcome.frames is None
    assert "takes_nothing" in outcome.error


@pytest.mark.parametrize("way", [in_process, isolated])
async def test_what_a_handler_says_on_purpose_is_no_fault(way: Callable[..., Any], module: Any) -> None:
    outcome = await way(module, "rejects")
    assert (outcome.kind, outcome.frames, outcome.traceback) == (OutcomeKind.REJECT, None, None)


def test_long_paths_and_texts_are_cut() -> None:
    scope: dict[str, Any] = {}
    exec(compile("def f(t):\n  raise ValueError(t)", "/" + "d" * 5_000 + "/handlers.py", "exec"), scope)
    try:
        scope["f"]("x" * 100_000 + "\udc80")
    except ValueError as error:
        outcome = outcome_of(error)
    assert outcome.frames is not None
    assert outcome.frames.endswith("/handlers.py:2 in f")
    assert len(outcome.frames) <= (FRAME_CHARS + 1) * FRAMES
    assert len((outcome.traceback or "").encode()) <= TRACEBACK_CHARS * 4
    for said in (Reject("no"), RetryLater(5)):
        assert outcome_of(said).frames is None


RAISED = Outcome(OutcomeKind.RETRY, error="ValueError: no", frames="/app/h.py:7 in save", traceback="Traceback …\nno")


def test_the_attempt_keeps_them_and_the_log_tells_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    # A fresh one: a gateway embedded in an earlier test has bound the module's own for good.
    monkeypatch.setattr(attempt, "log", structlog.get_logger())

    async def scenario() -> None:
        async with Works(crm=ScriptedSender(RAISED)) as works:
            with capture_logs() as logged:
                await works.store.append([make_append(1)])
                await settle_down()
            (listing,) = (await works.store.event(event_id(1))).deliveries
            (kept,) = (await works.store.history(listing.id)).attempts
            assert kept.frames == "/app/h.py:7 in save"
            (line,) = [each for each in logged if each["event"] == "handler_raised"]
            assert (line["exception"], line["error"], line["destination"]) == (
                "Traceback …\nno",
                "ValueError: no",
                "crm",
            )

    run(scenario())


def test_events_show_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    program = FakeProgram()
    program.keep(make_append(1))

    async def fail() -> None:
        leased = (await program.store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 9))).claims[0].delivery
        failed = Attempt(1, 1, AT_MS, 7, OutcomeKind.RETRY, error="ValueError: no", frames="/a.py:7 in f\n/b.py:9 in g")
        again = Transition(Trigger.RETRY, AT_MS, due_at_ms=AT_MS)
        await program.store.settle([Settlement(leased.after(again), failed)])

    asyncio.run(fail())
    assert program.cli("events", "show", event_id(1)) == 0
    assert "7 ms  ValueError: no\n    at /a.py:7 in f\n    at /b.py:9 in g\n" in capsys.readouterr().out
    assert program.cli("events", "show", event_id(1), "--json") == 0
    assert '"frames": ["/a.py:7 in f", "/b.py:9 in g"]' in capsys.readouterr().out


def test_a_log_on_a_terminal_and_one_of_an_application_show_it_on_lines_of_its_own() -> None:
    stream = io.StringIO()
    configure_logs(json=False, stream=stream)
    structlog.get_logger("longstop.test").warning("handler_raised", exception="Traceback\nValueError: \x1b[2J")
    structlog.reset_defaults()
    assert stream.getvalue().rstrip().endswith("\n  Traceback\n  ValueError: \\x1b[2J")

    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("longstop.test")
    logger.addHandler(handler)
    try:
        log_to_logging()
        structlog.get_logger("longstop.test").warning("handler_raised", exception="Traceback\nValueError: \x1b[2J", a=1)
    finally:
        structlog.reset_defaults()
        logger.removeHandler(handler)
    assert heard == ["handler_raised a=1\n  Traceback\n  ValueError: \\x1b[2J"]
