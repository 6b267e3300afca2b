"""Identifiers: the form of a UUIDv7, and that they only ever grow, whatever the clock does."""

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.ids import IdFactory, format_uuid7, is_id
from longstop.testing.builders import AT_MS

TIMES = st.integers(min_value=0, max_value=(1 << 47) - 1)
TAILS = st.integers(min_value=0, max_value=(1 << 74) - 1)


@given(TIMES, TAILS)
def test_an_id_is_a_uuid_of_version_7_and_holds_its_time(at_ms: int, tail: int) -> None:
    text = format_uuid7(at_ms, tail)
    made = uuid.UUID(text)
    assert is_id(text)
    assert (str(made), made.version, made.variant) == (text, 7, uuid.RFC_4122)
    assert made.int >> 80 == at_ms
    assert ((made.int >> 64 & 0xFFF) << 62 | made.int & ((1 << 62) - 1)) == tail


@given(st.tuples(TIMES, TAILS), st.tuples(TIMES, TAILS))
def test_ids_sort_as_their_time_and_tail_do(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (format_uuid7(*one) < format_uuid7(*other)) == (one < other)


@given(st.lists(TIMES, min_size=2, max_size=50), st.integers())
def test_ids_of_one_factory_strictly_increase_though_the_clock_steps_back(times: list[int], seed: int) -> None:
    factory = IdFactory(random.Random(seed))
    made = [factory.make(at_ms) for at_ms in times]
    assert made == sorted(set(made))


class Full(random.Random):
    """Dice that always show the most: the counter runs over as soon as it can."""

    def getrandbits(self, bits: int) -> int:
        return (1 << bits) - 1


def test_a_counter_that_runs_over_borrows_the_next_millisecond() -> None:
    factory = IdFactory(Full())
    factory._last_ms, factory._tail = 5, (1 << 74) - 2
    borrowed = factory.make(5)
    assert uuid.UUID(borrowed).int >> 80 == 6
    assert factory.make(5) > borrowed


def test_what_is_no_id() -> None:
    right = format_uuid7(1, 1)
    assert is_id(right)
    for wrong in ("", right.upper().replace("0", "A"), right[:-1], right + "0", right.replace("-", ""), f"{right}\n"):
        assert not is_id(wrong)


@pytest.mark.parametrize("back_ms", [0, 1, 6 * 3_600_000, 365 * 86_400_000])
def test_ids_go_on_after_the_last_one_that_is_kept_though_the_clock_was_set_back(back_ms: int) -> None:
    before = IdFactory(random.Random(1))
    kept = [before.make(AT_MS + number // 5) for number in range(50)]
    after = IdFactory(random.Random(2))
    after.go_on_after(kept[-1])
    made = [after.make(AT_MS + 10 - back_ms) for _ in range(1_000)]
    assert [*kept, *made] == sorted({*kept, *made})


def test_going_on_after_an_old_id_changes_nothing() -> None:
    one, other = IdFactory(random.Random(1)), IdFactory(random.Random(1))
    for factory in (one, other):
        factory.make(AT_MS)
    one.go_on_after(IdFactory(random.Random(3)).make(AT_MS - 1))
    assert one.make(AT_MS + 1) == other.make(AT_MS + 1)
