"""How results are written: lines for people (`tables` aligns them), one JSON object a line for programs.

Rows for programs have stable fields: what is printed today is printed under the same name tomorrow.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from longstop.model.printable import printable


def line(text: str = "") -> None:
    """Write a line to standard output, control characters escaped."""
    sys.stdout.write(f"{printable(text)}\n")


def text(lines: str) -> None:
    """Write lines to standard output, control characters escaped."""
    for each in lines.splitlines():
        line(each)


def json_line(row: Any) -> None:
    """Write one object as one line of JSON. Everything but ASCII is escaped, so it is safe on a terminal too."""
    sys.stdout.write(json.dumps(row) + "\n")


@contextlib.contextmanager
def job_bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on standard error for what goes on elsewhere. Yields a function that is told how many of how many are
    done, and what there is to say of it. Where that is no terminal there is no bar, and each thing is said once.
    """
    if not sys.stderr.isatty():
        said = {""}

        def say_once(_done: int, _total: int, note: str) -> None:
            if note not in said:
                said.add(note)
                sys.stderr.write(f"{printable(note)}\n")

        yield say_once
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}", markup=False)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=printable(note))


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
