"""Guards of the breaker, the turns and the clock are taken out one at a time: a simulation has to miss each."""

from collections.abc import Callable
from typing import Any

import pytest
import test_clock as clocks
import test_outage as outages
import test_poison_share as shares
from shop import ANSWERED
from test_delivery import _quiet

from longstop.delivering import attempt, dispatch
from longstop.delivering.breaker import Breaker
from longstop.delivering.clock_watch import ClockRepairs, ClockWatch
from longstop.model import breaker, evidence
from longstop.model.clock_guard import ClockRepair
from longstop.model.evidence import Evidence, Tally
from longstop.model.lease import LeaseRequest
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import run

__all__ = ["_quiet"]

HOURS_S = 6 * 3_600.0
Plant = Callable[[pytest.MonkeyPatch], None]


def each_failure_is_a_voice(patch: pytest.MonkeyPatch) -> None:
    """However often it failed before, and though others have arrived since."""
    patch.setattr(Evidence, "voice", 1.0)
    patch.setattr(Tally, "_suspect", lambda _self, _run: None)


def nothing_is_usual(patch: pytest.MonkeyPatch) -> None:
    """A run is as long where most fail anyway."""
    patch.setattr(evidence._Usual, "learn", lambda _self, _run, first: first)


def few_are_never_enough(patch: pytest.MonkeyPatch) -> None:
    """However long nothing has arrived."""
    patch.setattr(evidence, "LASTING_MS", 10**15)
    patch.setattr(dispatch, "LOOK_AGAIN_S", 60.0)


def the_longest_due_is_the_probe(patch: pytest.MonkeyPatch) -> None:
    """Whether it was tried before or not."""

    def probe(self: Any, destination: str, _circuit: Any, now_ms: int, _over: Any) -> Any:
        due = sorted(self._are_due(destination, False, now_ms) + self._are_due(destination, True, now_ms))
        return self._deliveries[due[0][1]] if due else None

    patch.setattr(MemoryStore, "_probe", probe)


def probes_are_always_the_newest(patch: pytest.MonkeyPatch) -> None:
    """Of whatever key."""
    patch.setattr(breaker.Circuit, "newest_first", True)
    patch.setattr(breaker.Circuit, "probe", lambda _self, untried: untried[0])


def nobody_takes_turns(patch: pytest.MonkeyPatch) -> None:
    """The longest due first."""

    def due(self: Any, destination: str, request: LeaseRequest, room: int) -> Any:
        both = self._are_due(destination, False, request.now_ms) + self._are_due(destination, True, request.now_ms)
        return sorted(both)[:room]

    patch.setattr(MemoryStore, "_due_entries", due)


def no_place_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Retries may have all."""
    patch.setattr(Breaker, "retries", lambda self: self._limiter.limit)


def everybody_asks_for_all(patch: pytest.MonkeyPatch) -> None:
    """However often the same event has asked."""
    patch.setattr(breaker, "ASKS_HEARD", 10**9)


def probes_are_paid(patch: pytest.MonkeyPatch) -> None:
    """One that fails may end its round."""
    real = attempt.decide
    patch.setattr(dispatch, "LOOK_AGAIN_S", 60.0)
    patch.setattr(attempt, "decide", lambda *given: real(*given[:5]))


def nothing_is_repaired(patch: pytest.MonkeyPatch) -> None:
    """What a clock that was ahead has noted stays."""

    async def repair(_self: ClockRepairs, _repair: ClockRepair) -> None:
        return None

    patch.setattr(ClockRepairs, "_repair", repair)


def time_is_what_the_wall_says(patch: pytest.MonkeyPatch) -> None:
    """Ages are taken from it as it is."""
    patch.setattr(ClockWatch, "in_step", lambda _self, delivery: delivery)


def all_leases_seem_over(patch: pytest.MonkeyPatch) -> None:
    """After a jump forward everybody is rescued at once."""
    patch.setattr(ClockWatch, "set_forward_within", lambda self, _ms: bool(self.look()) and False)


def _waits(share: float, seeds: range) -> None:
    for seed in seeds:
        waits_s = run(shares.longest_wait_s(share, ANSWERED, seed))
        assert waits_s <= shares.WAITS_S


PLANTS: dict[Plant, Callable[[], None]] = {
    each_failure_is_a_voice: lambda: shares.test_thousands_of_retries_that_are_due_hold_up_nothing_new(32, 1.0),
    nothing_is_usual: lambda: _waits(0.9, range(3)),
    few_are_never_enough: lambda: outages.test_two_days_with_few_events_are_survived(30, ANSWERED),
    the_longest_due_is_the_probe: shares.test_healthy_traffic_closes_a_circuit_behind_which_only_poison_was_left,
    probes_are_always_the_newest: lambda: (
        shares.test_behind_an_open_circuit_the_poison_of_one_conversation_does_not_take_every_probe(MemoryStore())
    ),
    nobody_takes_turns: lambda: shares.test_thousands_of_retries_that_are_due_hold_up_nothing_new(1, 2.0),
    no_place_is_kept: shares.test_retries_that_time_out_do_not_take_every_place,
    everybody_asks_for_all: shares.test_an_event_that_is_always_answered_with_retry_after_stops_asking_for_all,
    probes_are_paid: outages.test_longer_than_max_age_nobody_dies_of_being_the_probe,
    nothing_is_repaired: lambda: clocks.test_what_was_accepted_and_tried_before_a_jump_is_delivered_soon_after_it(
        MemoryStore(), -HOURS_S, False
    ),
    time_is_what_the_wall_says: lambda: (
        clocks.test_nothing_dies_of_a_time_that_did_not_pass_and_what_is_late_is_late_all_the_same(
            MemoryStore(), HOURS_S
        )
    ),
    all_leases_seem_over: lambda: (
        clocks.test_an_attempt_that_is_under_way_keeps_its_lease_and_one_whose_worker_died_comes_back(
            MemoryStore(), HOURS_S
        )
    ),
}
"""Each guard that is missing, and the simulation that misses it."""


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_missing_guard_is_missed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        PLANTS[plant]()
