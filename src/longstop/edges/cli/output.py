"""How results are written: tables for people, one JSON object a line for programs.

Rows for programs have stable fields: what is printed today is printed under the same name tomorrow.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from longstop.model import times
from longstop.model.printable import printable


def line(text: str = "") -> None:
    """Write a line to standard output, control characters escaped."""
    sys.stdout.write(f"{printable(text)}\n")


def json_line(row: Any) -> None:
    """Write one object as one line of JSON. Everything but ASCII is escaped, so it is safe on a terminal too."""
    sys.stdout.write(json.dumps(row) + "\n")


def rfc3339(at_ms: int | None) -> str | None:
    """`2026-01-31T09:30:00.000Z`; None for None."""
    return None if at_ms is None else times.rfc3339(at_ms)


def for_people(at_ms: int | None) -> str:
    """`2026-01-31 09:30:00Z`; `-` for None."""
    text = rfc3339(at_ms)
    return "-" if text is None else f"{text[:10]} {text[11:19]}Z"


def age(ms: int) -> str:
    """`850 ms`, `12 s`, `5 min`, `3 h`, `2 days`: the largest unit that it fills."""
    for unit_ms, name in ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms >= unit_ms:
            count = ms // unit_ms
            return f"{count} day" if name == "days" and count == 1 else f"{count} {name}"
    return f"{max(ms, 0)} ms"


def table(titles: Sequence[str], rows: Iterable[Sequence[str | Sequence[str]]], right: Sequence[str] = ()) -> None:
    """Write a table. A cell of several texts has a line for each; titles in `right` head columns of numbers.

    The first column is never cut or wrapped: it holds the id, which people copy.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        made.add_column(title, no_wrap=place == 0, overflow="fold", justify="right" if title in right else "left")
    for row in rows:
        # Text takes no markup, so that a payload's brackets stay brackets.
        made.add_row(*(Text("\n".join(map(printable, [cell] if isinstance(cell, str) else cell))) for cell in row))
    console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    with console.capture() as capture:
        console.print(made)
    # Written here, because rich ends the process with 1 where the reader of a pipe has gone.
    sys.stdout.write(capture.get())


@contextlib.contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error while the block runs. Yields a function that counts so many more as done.

    Where that is no terminal, or there is only one thing to do, there is no bar.
    """
    if total == 1 or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)
