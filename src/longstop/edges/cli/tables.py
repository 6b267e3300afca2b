"""Rows for people and for pipes.

On a terminal: one line a row, aligned, under titles; what does not fit is cut with `…`, the widest column that can
bear it first. Into a pipe or a file: one line a row, cells with tabs between them, nothing cut, no titles, so that
grep, cut and wc do what is meant.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from longstop.model.printable import printable

GAP = "  "
WIDE = 120
"""From so many columns on nothing is left out, and what does not fit is cut."""
WIDE_FOR_IDS = 150


class Column(NamedTuple):
    """A column: its title, and how it gives way where a line is longer than the terminal is wide."""

    title: str
    right: bool = False
    """Numbers."""
    least: int | None = None
    """It may be cut down to so many characters; None: it is never cut."""
    wide_only: bool = False
    """It is left out on a terminal that is narrower than WIDE, where not all of it fits."""


def on_terminal() -> bool:
    """Whether a person reads along."""
    return sys.stdout.isatty()


def width() -> int:
    """How many characters go into a line of the terminal."""
    return shutil.get_terminal_size().columns


def write(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write rows to standard output."""
    shown = [[printable(cell) or "-" for cell in row] for row in rows]
    if not on_terminal():
        sys.stdout.writelines("\t".join(row) + "\n" for row in shown)
        return
    room = width()
    whole = room >= WIDE or _fits(columns, shown, room)
    places = [place for place, column in enumerate(columns) if whole or not column.wide_only]
    chosen = [[row[place] for place in places] for row in shown]
    for text in lines([columns[place] for place in places], chosen, room):
        sys.stdout.write(text + "\n")


def lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """The lines of a table that is at most `room` characters wide, the titles first."""
    titles = [column.title for column in columns]
    widths = _fitted(columns, _widths(columns, rows), room)
    head = _line(columns, titles, widths)
    bold = on_terminal() and "NO_COLOR" not in os.environ
    return [f"\x1b[1m{head}\x1b[0m" if bold else head, *(_line(columns, row, widths) for row in rows)]


def _fits(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> bool:
    return sum(_widths(columns, rows)) + len(GAP) * (len(columns) - 1) <= room


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column is where nothing is cut."""
    titles = [column.title for column in columns]
    return [max(cells(text) for text in column) for column in zip(titles, *rows, strict=True)]


def _fitted(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """The widest column that may be cut gives way first, until all fits or nothing can give way."""
    fitted = list(widths)
    while sum(fitted) + len(GAP) * (len(fitted) - 1) > room:
        able = [place for place, column in enumerate(columns) if column.least and fitted[place] > column.least]
        if not able:
            break
        fitted[max(able, key=fitted.__getitem__)] -= 1
    return fitted


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for column, text, room in zip(columns, row, widths, strict=True):
        shown = cut(text, room)
        blanks = " " * (room - cells(shown))
        parts.append(blanks + shown if column.right else shown + blanks)
    return GAP.join(parts).rstrip()


def cells(text: str) -> int:
    """How many places of a terminal a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(char) for char in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, room: int) -> str:
    """The text in at most so many places; `…` stands for what is cut."""
    if cells(text) <= room:
        return text
    kept, used = "", 0
    for char in text:
        used += _cells_of(char)
        if used > room - 1:
            break
        kept += char
    return f"{kept}…"
