"""What two errors have in common: ids, times and numbers are taken out, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.error_group import LENGTH_MAX, OTHER, group_of, has_variables, may_say, says


@pytest.mark.parametrize(
    ("error", "group"),
    [
        (None, ""),
        ("", ""),
        ("connection refused", "connection refused"),
        ("the destination answered 503", "the destination answered #"),
        ("timed out after 10.25 s", "timed out after # s"),
        ("order 4711 is unknown", "order # is unknown"),
        ("KeyError: 'order-4711'", "KeyError: 'order-#'"),
        ("event 01a2046b-904f-7242-9ead-42f573255671 refused", "event # refused"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace #"),
        ("evt_1NxKdE2eZvKYlo2C is gone", "evt_# is gone"),
        ("at 2026-01-31T09:30:00.123Z: no", "at #: no"),
        ("at 2026-01-31T09:30:00+01:00: no", "at #: no"),
        ("10.0.0.7:8080 refused", "# refused"),
        ("object at 0x7f3c9a", "object at #"),
        ("sha256 differs", "sha# differs"),
        ("größe 5", "größe #"),
    ],
)
def test_variable_parts_are_taken_out_and_words_are_left(error: str | None, group: str) -> None:
    assert group_of(error) == group


@given(st.text(max_size=600))
def test_twice_is_the_same_as_once_and_never_long(error: str) -> None:
    once = group_of(error)
    assert group_of(once) == once
    assert len(once) <= LENGTH_MAX
    assert not any(each in "0123456789" for each in once)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=2))
def test_errors_that_differ_in_a_number_are_one_group(numbers: list[int]) -> None:
    first, second = (group_of(f"order {number} is unknown (HTTP 404)") for number in numbers)
    assert first == second


@pytest.mark.parametrize(
    ("error", "wanted", "there"),
    [
        ("order 4711 is unknown", "order", True),
        ("order 4711 is unknown", "order # is", True),
        ("order 4711 is unknown", "order 4711", True),
        ("order 4711 is unknown", "r 47", True),
        ("order 4711 is unknown", "4712", False),
        ("order 4711 is unknown", "Order", False),
        (None, "", False),
    ],
)
def test_a_text_stands_in_an_error_by_its_words_or_by_its_numbers(error: str | None, wanted: str, there: bool) -> None:
    assert says(error, wanted) is there


@given(st.text("ab1 -.#x", max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_no_group_is_passed_over_whose_errors_may_say_it(error: str, start: int, end: int) -> None:
    wanted = error[start:end]
    if has_variables(wanted):
        assert may_say(group_of(error), wanted)


@pytest.mark.parametrize(
    ("group", "wanted", "may"),
    [
        # The words at the ends of what is looked for may be parts of longer ones; those between are whole.
        ("order # is unknown", "der 4711 is unk", True),
        ("order # is unknown", "an order 4711 was unknown", False),
        ("order # is unknown", "an invoice 4711 is", False),
        ("order # is unknown", "order 4711 was unknown", False),
        ("connection refused", "4711", False),
        (OTHER, "an order 4711 was unknown", True),
        # What stood behind the cut is not in the group's text.
        ("o" * LENGTH_MAX, "an order 4711 was unknown", True),
        ("#" + "o" * (LENGTH_MAX - 2), "an order 4711 was unknown", False),
    ],
)
def test_groups_that_cannot_say_it_are_passed_over(group: str, wanted: str, may: bool) -> None:
    assert may_say(group, wanted) is may
