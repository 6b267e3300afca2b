"""The connection that listens: one that says nothing any more is given up, and leaves nothing behind on the server."""

import asyncio
from typing import Any

from longstop.stores.postgres.arrivals import Arrivals


class Silent:
    """A connection whose server does not answer."""

    def __init__(self) -> None:
        self.terminated = False

    def is_closed(self) -> bool:
        return self.terminated

    async def add_listener(self, *_: object) -> None:
        pass

    async def execute(self, *_: object) -> None:
        raise TimeoutError

    def terminate(self) -> None:
        self.terminated = True


async def test_a_connection_that_does_not_answer_is_closed_before_another_is_made() -> None:
    made: list[Silent] = []

    async def connect() -> Any:
        assert all(each.terminated for each in made)
        made.append(Silent())
        return made[-1]

    arrivals = Arrivals(connect, "longstop", 0.01, listens=True)
    arrivals.begin()
    async with asyncio.timeout(20):
        while len(made) < 3:
            arrivals.arrived()
            await asyncio.sleep(0.005)
    await arrivals.end()
    assert all(each.terminated for each in made)
