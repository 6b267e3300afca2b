"""What `tail` tells: each thing once, in the order of time, also what was written down late."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram, StandingClock

from longstop.edges.rows import activity as happenings_module
from longstop.edges.rows.activity import Activity
from longstop.model.action import Action, Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, DeadReason, OutcomeKind, Transition, Trigger
from longstop.model.lease import LeaseRequest, Settlement
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append

OPEN = Circuit("crm", AT_MS + 5, AT_MS + 500, 10, "20 attempts in a row failed", 1)


def scenario(test: Callable[[MemoryStore], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test(MemoryStore()))

    return run


def watching(store: MemoryStore, source: str | None = None, destination: str | None = None) -> Activity:
    return Activity(store, AT_MS, source, destination)


async def said(activity: Activity) -> list[str]:
    return [each.what for each in await activity.next()]


async def attempted(store: MemoryStore, outcome: OutcomeKind, transition: Transition, at_ms: int = AT_MS) -> None:
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, at_ms, at_ms + 1))).claims
    number = claim.delivery.attempts + 1
    attempt = Attempt(number, 1, at_ms, 7, outcome, 503, None if outcome is OutcomeKind.SUCCESS else "it is down")
    tried = replace(claim.delivery, attempts=number, last_error=attempt.error)
    await store.settle([Settlement(tried.after(transition), attempt)])


@scenario
async def test_each_thing_is_told_once(store: MemoryStore) -> None:
    activity = watching(store)
    assert await said(activity) == []
    await store.append([make_append(1), make_append(2, received_at_ms=AT_MS + 1)])
    assert await said(activity) == ["accepted", "accepted"]
    assert await said(activity) == []
    await attempted(store, OutcomeKind.RETRY, Transition(Trigger.RETRY, AT_MS + 8, due_at_ms=AT_MS + 9), AT_MS + 2)
    await attempted(store, OutcomeKind.SUCCESS, Transition(Trigger.SUCCEED, AT_MS + 10), AT_MS + 4)
    (retrying, delivered) = await activity.next()
    assert (retrying.what, retrying.about) == ("retrying", "attempt 1: it is down")
    assert (delivered.what, delivered.about, delivered.destination) == ("delivered", "7 ms", "crm")
    park = Transition(Trigger.PARK, AT_MS + 20, reason=DeadReason.EXHAUSTED)
    await attempted(store, OutcomeKind.RETRY, park, AT_MS + 15)
    assert [(each.what, each.about) for each in await activity.next()] == [("dead", "attempt 2: it is down")]
    await store.act([Action(delivery_id(event_id(1), 0), Transition(Trigger.DISCARD, AT_MS + 30), "ann", "no use")])
    assert [(each.what, each.about) for each in await activity.next()] == [("discarded", "by ann: no use")]
    assert await said(activity) == []


@scenario
async def test_what_is_written_down_late_is_told_all_the_same(store: MemoryStore) -> None:
    activity = watching(store)
    await store.append([make_append(9, received_at_ms=AT_MS + 2_500)])
    assert await said(activity) == ["accepted"]
    await store.append([make_append(1, received_at_ms=AT_MS + 1)])
    assert await said(activity) == ["accepted"]
    assert await said(activity) == []


@scenario
async def test_more_than_a_look_takes_is_told_in_several(store: MemoryStore) -> None:
    at_once, happenings_module.AT_ONCE = happenings_module.AT_ONCE, 3
    try:
        activity = watching(store)
        await store.append([make_append(n, received_at_ms=AT_MS + n) for n in range(1, 11)])
        told = [each.event_id for _ in range(8) for each in await activity.next()]
    finally:
        happenings_module.AT_ONCE = at_once
    assert told == [event_id(n) for n in range(1, 11)]


@scenario
async def test_pauses_and_circuits_are_told_when_they_begin_and_end(store: MemoryStore) -> None:
    await store.pause(Pause("lake", AT_MS - 50, "bob"))
    activity = watching(store)
    assert await said(activity) == [], "it was paused before"
    await store.pause(Pause("crm", AT_MS + 1, "ann", "it is mended"))
    await store.change_circuit("crm", 0, OPEN)
    found = await activity.next()
    assert [(each.what, each.about) for each in found] == [
        ("paused", "by ann: it is mended"),
        ("circuit_opened", "20 attempts in a row failed"),
    ]
    await store.resume("crm")
    await store.change_circuit("crm", 1, None)
    assert await said(activity) == ["resumed", "circuit_closed"]
    assert await said(activity) == []


@scenario
async def test_only_what_was_asked_for(store: MemoryStore) -> None:
    of_till, for_lake = watching(store, source="till"), watching(store, destination="lake")
    await store.append([make_append(1), make_append(2, source="till", to=("lake",))])
    await store.pause(Pause("lake", AT_MS + 1, "ann"))
    assert [(each.what, each.event_id) for each in await of_till.next()] == [("accepted", event_id(2))]
    # An event is for no destination yet when it is accepted.
    await for_lake.next()
    await store.resume("lake")
    assert await said(for_lake) == ["resumed"]


# -- the command ----------------------------------------------------------------------------------


class Stops(StandingClock):
    """A clock that interrupts whoever sleeps for the third time."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if len(self.slept_s) == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("json_", [False, True])
def test_tail_goes_on_until_it_is_interrupted(json_: bool, capsys: pytest.CaptureFixture[str]) -> None:
    program = FakeProgram(clock=Stops())
    program.keep(make_append(1, received_at_ms=NOW_MS - 5_000, type="\x1b[1mpaid"))
    assert program.cli("tail", "--since", "10s", *(["--json"] if json_ else [])) == 130
    out = capsys.readouterr().out
    if json_:
        row = json.loads(out)
        assert (row["at"], row["what"], row["event_id"]) == ("2026-01-01T00:59:55.000Z", "accepted", event_id(1))
        assert (row["source"], row["destination"], row["key"], row["about"]) == ("shop", None, "order-1", None)
    else:
        assert out == f"00:59:55Z  accepted        {event_id(1)[-8:]}  shop  \\x1b[1mpaid  key order-1\n"


def test_tail_of_what_nobody_knows_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert FakeProgram().cli("tail", "--destination", "cmr") == 1
    assert 'found no destination "cmr"; expected one of: crm; did you mean "crm"?' in capsys.readouterr().err
