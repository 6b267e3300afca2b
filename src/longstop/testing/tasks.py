"""Tasks that run beside a test: ended with it, and asked how they fared."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], others: Iterable[asyncio.Task[Any]] = ()) -> None:
    """Cancel all of these until they have ended. Raises what the first of `tasks` failed with, if one has.

    Without that, a service that died in the middle of a test would look like one that has nothing to do.
    """
    tasks = list(tasks)
    left = {*tasks, *others}
    while left:
        # Once is not enough: an attempt that is broken off wants to say so first.
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0)
    for task in tasks:
        if not task.cancelled():
            task.result()
