"""How many steps SQLite's virtual machine takes for something: the same on every machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw


@contextmanager
def steps_counted() -> Iterator[Callable[[], int]]:
    """How many steps SQLite has taken, on all connections that are opened within."""
    taken = 0

    def hook(connection: apsw.Connection) -> None:
        def profile(event: dict[str, Any]) -> None:
            nonlocal taken
            taken += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, profile)

    apsw.connection_hooks.append(hook)
    try:
        yield lambda: taken
    finally:
        apsw.connection_hooks.remove(hook)
