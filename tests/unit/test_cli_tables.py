"""Tables: one line a row, whatever stands in the cells; cut for a terminal, whole and with tabs for a pipe."""

import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.edges.cli import tables
from longstop.edges.cli.tables import Column, cells, cut, lines

Capture = pytest.CaptureFixture[str]

COLUMNS = (Column("id"), Column("n", right=True), Column("note", wide_only=True), Column("error", least=8))
ROWS = [("0" * 8, "1", "a note", "connection refused, and that at length"), ("1" * 8, "20", "", "\x1b]0;title\x07\n\t")]


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_pipe_gets_whole_cells_with_tabs_between_them_and_no_titles(capsys: Capture) -> None:
    tables.write(COLUMNS, ROWS)
    assert capsys.readouterr().out == (
        "00000000\t1\ta note\tconnection refused, and that at length\n11111111\t20\t-\t\\x1b]0;title\\x07\\n\\t\n"
    )


def test_a_terminal_gets_titles_and_what_fits(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch, 40)
    tables.write(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "id         n  error",
        "00000000   1  connection refused, and t…",
        "11111111  20  \\x1b]0;title\\x07\\n\\t",
    ]
    for width in (200, 60):
        # The second has just enough room for all of it.
        on_terminal(monkeypatch, width)
        tables.write(COLUMNS, ROWS)
        assert "a note  connection refused, and that at length" in capsys.readouterr().out


def test_markup_is_text(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch, 80)
    tables.write((Column("key"),), [("[bold]k[/bold] :smile:",)])
    assert "[bold]k[/bold] :smile:" in capsys.readouterr().out


def test_an_id_is_never_cut() -> None:
    shown = lines((Column("id"), Column("what", least=4)), [("0" * 36, "word " * 40)], 20)
    assert shown[1] == f"{'0' * 36}  wor…"


@pytest.mark.parametrize(
    ("text", "places"), [("abc", 3), ("é", 1), ("e\u0301", 1), ("你好", 4), ("🙂", 2), ("ｱ", 1), ("", 0)]
)
def test_what_a_text_takes(text: str, places: int) -> None:
    assert cells(text) == places


def test_a_wide_character_is_not_cut_in_half() -> None:
    assert [cut("你好吗", room) for room in (6, 5, 4, 3, 1)] == ["你好吗", "你好…", "你…", "你…", "…"]


@given(
    st.lists(st.lists(st.text(max_size=40), min_size=3, max_size=3), max_size=5),
    st.integers(min_value=20, max_value=120),
)
def test_no_row_is_wider_than_the_terminal(rows: Sequence[Sequence[str]], room: int) -> None:
    columns = (Column("a", least=4), Column("b", right=True, least=4), Column("c", least=4))
    assert all(cells(text) <= room for text in lines(columns, rows, room))
