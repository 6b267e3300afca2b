"""Answers that hold many rows: they are made a little at a time, and senders' requests have their turn in between.

The operators' side lives in the event loop that accepts. A page of 500 rows takes ten milliseconds to be made, ten
lines of a day's minutes fifty: in one go, everybody who sends at that moment would wait for as long.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import Response
from pydantic import BaseModel

from longstop.edges.rows.values import Row
from longstop.ports import Clock

TURN_S = 0.002
"""For so long something is made before others have their turn."""


class Turns:
    """Lets others have their turn in the event loop, where something has gone on for long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()

    async def give(self) -> None:
        """To be called often."""
        if self._loop.time() - self._began_s >= TURN_S:
            await self._clock.sleep(0)
            self._began_s = self._loop.time()


def as_json(model: type[BaseModel], rows: Iterable[Row]) -> Iterator[str]:
    """Rows as the model has them, each in JSON, made when it is asked for."""
    for row in rows:
        yield model.model_validate(row).model_dump_json(by_alias=True)


async def list_of(clock: Clock, name: str, rows: Iterable[str], around: Mapping[str, Any]) -> Response:
    """An object with this list, whose rows are in JSON, and what is around it."""
    made, turns = [], Turns(clock)
    for row in rows:
        made.append(row)
        await turns.give()
    rest = json.dumps(around).removeprefix("{").removesuffix("}")
    return Response(f'{{"{name}":[{",".join(made)}]{rest and f",{rest}"}}}', media_type="application/json")
