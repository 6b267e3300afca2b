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


def json_line(row: Any) -> None:
    """Write one object as one line of JSON. Everything but ASCII is escaped, so it is safe on a terminal too."""
    sys.stdout.write(json.dumps(row) + "\n")


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
