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
"""For so long an answer is made before others have their turn."""


def as_json(model: type[BaseModel], rows: Iterable[Row]) -> Iterator[str]:
    """Rows as the model has them, each in JSON, made when it is asked for."""
    for row in rows:
        yield model.model_validate(row).model_dump_json(by_alias=True)


async def list_of(clock: Clock, name: str, rows: Iterable[str], around: Mapping[str, Any]) -> Response:
    """An object with this list, whose rows are in JSON, and what is around it."""
    loop, made = asyncio.get_running_loop(), []
    began_s = loop.time()
    for row in rows:
        made.append(row)
        if loop.time() - began_s >= TURN_S:
            await clock.sleep(0)
            began_s = loop.time()
    rest = json.dumps(around).removeprefix("{").removesuffix("}")
    return Response(f'{{"{name}":[{",".join(made)}]{rest and f",{rest}"}}}', media_type="application/json")
