"""The connection to an account's table, and what all parts of the store ask of it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.errors import StoreUnavailableError
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.deliveries import Deliveries
from longstop.stores.aws.dynamodb import Table
from longstop.stores.aws.packing import to_circuit, unpack_values
from longstop.stores.aws.table import Keys
from longstop.stores.aws.units import Units


class AwsDatabase:
    """One table. region, endpoint: of the service. shards: of a table that is new."""

    def __init__(self, region: str, table: str, *, endpoint: str | None = None, shards: int = 8) -> None:
        super().__init__()
        self._region = region
        self._endpoint = endpoint
        self._name = table
        self._stack: AsyncExitStack | None = None
        self._wakes: list[Callable[[], None]] = []
        self.keys = Keys(shards)
        self.deliveries = Deliveries(self.keys)
        self.table: Table
        self.units: Units

    async def open(self) -> None:
        """See ports.Store."""
        stack = AsyncExitStack()
        config = AioConfig(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 4})
        client: Any = get_session().create_client(
            "dynamodb", region_name=self._region, endpoint_url=self._endpoint, config=config
        )
        self.table = Table(await stack.enter_async_context(client), self._name)
        self.units = Units(self.table)
        self._stack = stack

    async def close(self) -> None:
        """See ports.Store."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def ready(self) -> bool:
        """See ports.Store."""
        return self._stack is not None

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)

    def arrived(self) -> None:
        """There may be something to lease."""
        for wake in self._wakes:
            asyncio.get_running_loop().call_soon(wake)

    async def of_shards(self, index: str, low: str, high: str, limit: int | None, backward: bool = False) -> list[Item]:
        """The rows of every shard that a local index has from low to high, in its order; at most so many."""
        shards = self.keys.all_shards()
        asked = (
            self.table.query(f"D#{shard}", low, high, index=index, names=("pk", index), limit=limit, backward=backward)
            for shard in shards
        )
        rows = [row for rows in await asyncio.gather(*asked) for row in rows]
        rows.sort(key=lambda row: str(row[index]), reverse=backward)
        return rows if limit is None else rows[:limit]

    async def standing(self) -> tuple[dict[str, Circuit], dict[str, Pause]]:
        """The circuits that are open and the destinations that are paused, by name."""
        circuits: dict[str, Circuit] = {}
        pauses: dict[str, Pause] = {}
        for item in await self.table.query(keys.STANDING):
            if str(item["sk"]).startswith("c#"):
                circuit = to_circuit(item)
                circuits[circuit.destination] = circuit
            else:
                pause = Pause(*unpack_values("a pause", item))
                pauses[pause.destination] = pause
        return circuits, pauses


def missing(what: Sequence[str]) -> StoreUnavailableError:
    """Something that the store needs is not there."""
    return StoreUnavailableError(f"not there: {', '.join(what)}")
