"""Which clock is believed, and what time has certainly passed."""

from dataclasses import replace

import pytest

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import (
    JUMP_MS,
    REMEMBERED_MS,
    TRUSTED_AFTER_MS,
    ClockGuard,
    ClockRepair,
    trusted_now_ms,
)
from longstop.model.delivery import Delivery
from longstop.testing.builders import AT_MS, make_delivery, make_event

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS


def guard() -> ClockGuard:
    return ClockGuard(AT_MS, 0)


def test_a_clock_that_goes_on_has_not_jumped_nor_one_that_is_slewed() -> None:
    watched = guard()
    # Half a thousandth, as time services do it, for a day.
    looks = [watched.look(AT_MS + second * 1000 + second // 2, second * 1000) for second in range(0, 86_400, 10)]
    assert set(looks) == {None}
    assert watched.steady_ms(86_400_000) == 86_400_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS, JUMP_MS, -JUMP_MS])
def test_a_jump_is_seen_once_and_told_by_how_much(by_ms: int) -> None:
    watched = guard()
    jump = watched.look(AT_MS + 5_000 + by_ms, 5_000)
    assert jump is not None
    assert (jump.from_ms, jump.to_ms, jump.by_ms) == (AT_MS + 5_000, AT_MS + 5_000 + by_ms, by_ms)
    assert watched.look(AT_MS + 6_000 + by_ms, 6_000) is None
    assert watched.steady_ms(6_000) == 1_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS])
def test_an_instant_before_a_jump_is_as_long_ago_as_it_is(by_ms: int) -> None:
    watched = guard()
    watched.look(AT_MS + 10_000 + by_ms, 10_000)
    now_ms = AT_MS + 15_000 + by_ms
    assert now_ms - watched.translated_ms(AT_MS + 3_000, now_ms) == 12_000
    assert watched.translated_ms(now_ms - 1_000, now_ms) == now_ms - 1_000, "after it"


def test_there_and_back() -> None:
    watched = guard()
    watched.look(AT_MS + 10_000 + YEAR_MS, 10_000)
    watched.look(AT_MS + 20_000, 20_000)
    now_ms = AT_MS + 30_000
    assert watched.translated_ms(AT_MS + 5_000, now_ms) == AT_MS + 5_000
    assert watched.translated_ms(AT_MS + 15_000 + YEAR_MS, now_ms) == AT_MS + 15_000


def test_an_instant_of_the_very_jump_is_before_it() -> None:
    for by_ms in (HOUR_MS, -HOUR_MS):
        watched = guard()
        watched.look(AT_MS + 10_000 + by_ms, 10_000)
        now_ms = AT_MS + 15_000 + by_ms
        assert watched.translated_ms(AT_MS + 10_000, now_ms) == AT_MS + 10_000 + by_ms
        assert watched.translated_ms(now_ms, now_ms) == now_ms, "and of now is now"


def test_how_long_the_machine_has_run_is_no_jump() -> None:
    watched = ClockGuard(AT_MS, 5_000)
    assert watched.look(AT_MS + 1_000, 6_000) is None
    assert watched.steady_ms(6_000) == 1_000


def test_a_jump_is_forgotten_after_a_month_and_not_before() -> None:
    began_ms = 7 * REMEMBERED_MS
    for elapsed_ms, remembered in ((REMEMBERED_MS - 1, 2), (REMEMBERED_MS, 1)):
        watched = ClockGuard(AT_MS, began_ms)
        watched.look(AT_MS + HOUR_MS, began_ms)
        watched.look(AT_MS + elapsed_ms + 2 * HOUR_MS, began_ms + elapsed_ms)
        assert watched.ahead_ms() == remembered * HOUR_MS


def test_only_jumps_forward_make_anything_seem_older() -> None:
    watched = guard()
    assert watched.ahead_ms() == 0
    watched.look(AT_MS - HOUR_MS, 0)
    assert watched.ahead_ms() == 0
    watched.look(AT_MS, 0)
    assert watched.ahead_ms() == HOUR_MS


def test_a_round_that_begins_in_the_future_begins_now_and_is_of_use_as_long_as_it_was_to_be() -> None:
    delivery = make_delivery(make_event(1), expires_at_ms=AT_MS + 60_000)
    now_ms = AT_MS - HOUR_MS
    moved = ClockGuard(now_ms, 0).in_step(delivery, now_ms)
    assert (moved.round_at_ms, moved.expires_at_ms) == (now_ms, now_ms + 60_000)
    assert guard().in_step(delivery, AT_MS) is delivery


# -- for one who erases -------------------------------------------------------------------------------


def test_a_clock_that_is_ahead_at_the_start_makes_nothing_older_for_a_day() -> None:
    ahead = AT_MS + YEAR_MS
    for elapsed_ms in (0, HOUR_MS, TRUSTED_AFTER_MS - 1):
        assert trusted_now_ms(ahead + elapsed_ms, elapsed_ms, AT_MS, elapsed_ms) == AT_MS + elapsed_ms
    assert trusted_now_ms(ahead, TRUSTED_AFTER_MS, AT_MS, TRUSTED_AFTER_MS) == ahead


def test_a_clock_that_jumps_ahead_makes_nothing_older_and_one_that_is_set_back_nothing_younger() -> None:
    assert trusted_now_ms(AT_MS + YEAR_MS, 0, AT_MS, 1_000) == AT_MS + 1_000
    assert trusted_now_ms(AT_MS - YEAR_MS, 0, AT_MS, 1_000) == AT_MS


def test_the_very_first_time_the_wall_clock_is_all_there_is() -> None:
    assert trusted_now_ms(AT_MS, 0, None, 0) == AT_MS


# -- what a clock that was ahead has left behind ------------------------------------------------------

WAIT_MS = 900_000
REPAIR = ClockRepair(AT_MS, {"crm": WAIT_MS}, lease_ms=30_000, dedup_ms=HOUR_MS)


def waiting(due_at_ms: int, round_at_ms: int, **changes: int) -> Delivery:
    return make_delivery(make_event(1), due_at_ms=due_at_ms, round_at_ms=round_at_ms, **changes)


def test_what_waits_no_longer_than_anything_does_there_is_left_alone() -> None:
    assert REPAIR.repaired(waiting(AT_MS + WAIT_MS, AT_MS - HOUR_MS)) is None
    assert REPAIR.repaired(waiting(AT_MS + WAIT_MS, AT_MS + HOUR_MS)) is None


@pytest.mark.parametrize("round_at_ms", [AT_MS - HOUR_MS, AT_MS])
def test_a_backoff_from_a_clock_that_was_ahead_is_over_and_its_round_goes_on(round_at_ms: int) -> None:
    found = REPAIR.repaired(waiting(AT_MS + WAIT_MS + 1, round_at_ms, tries=1))
    assert found == waiting(AT_MS, round_at_ms, tries=1)


@pytest.mark.parametrize("spent", [{"tries": 1}, {"lost": 1}])
def test_only_a_replay_that_was_not_tried_yet_waits_as_long_as_it_was_asked_to(spent: dict[str, int]) -> None:
    due_at_ms = AT_MS + WAIT_MS + 1
    assert REPAIR.repaired(waiting(due_at_ms, AT_MS - HOUR_MS, round=2)) is None
    assert REPAIR.repaired(waiting(due_at_ms, AT_MS, round=2)) is None
    assert REPAIR.repaired(waiting(due_at_ms, AT_MS - HOUR_MS)) == waiting(AT_MS, AT_MS - HOUR_MS), "no replay"
    tried = waiting(due_at_ms, AT_MS - HOUR_MS, round=2, **spent)
    assert REPAIR.repaired(tried) == waiting(AT_MS, AT_MS - HOUR_MS, round=2, **spent)


@pytest.mark.parametrize(("asked_ms", "waits_ms"), [(7_000, 7_000), (0, 0), (-5, 0)])
def test_a_replay_of_a_round_that_is_yet_to_come_keeps_its_wait(asked_ms: int, waits_ms: int) -> None:
    ahead_ms = AT_MS + HOUR_MS
    found = REPAIR.repaired(waiting(ahead_ms + asked_ms, ahead_ms, round=2, expires_at_ms=ahead_ms + 60_000))
    assert found == waiting(AT_MS + waits_ms, AT_MS, round=2, expires_at_ms=AT_MS + 60_000)


def test_a_first_round_that_is_yet_to_come_begins_now() -> None:
    ahead_ms = AT_MS + HOUR_MS
    assert REPAIR.repaired(waiting(ahead_ms + 7_000, ahead_ms)) == waiting(AT_MS, AT_MS)


def test_a_circuit_is_probed_now_where_its_probe_would_wait_longer_than_anything_there() -> None:
    circuit = Circuit("crm", AT_MS + HOUR_MS, AT_MS + WAIT_MS, answer_ms=15_000, why="…")
    assert REPAIR.repaired_circuit(circuit) is None
    far = replace(circuit, probe_at_ms=AT_MS + WAIT_MS + 1)
    assert REPAIR.repaired_circuit(far) == replace(circuit, opened_at_ms=AT_MS, probe_at_ms=AT_MS, version=2)
    assert REPAIR.repaired_circuit(replace(far, destination="elsewhere")) is None, "not known here"
