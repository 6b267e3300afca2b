"""What an event takes in PostgreSQL beside its body: accepted, then delivered, then dead.

    python bench/sizes.py [--events 20000] [--body 1000]

A server of its own is started. Sizes are those of all tables and indexes after VACUUM, as PostgreSQL has them.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from servers import DATABASE, PostgresServer, postgresql_server

from longstop.model.event import Headers
from longstop.model.lease import Claim, Settlement
from longstop.ports import Store
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease, parked

BATCH = 500
HEADERS = Headers([("Content-Type", "application/json"), ("User-Agent", "a-sender/1.0")])


async def main(events: int, body: int) -> None:
    with tempfile.TemporaryDirectory(prefix="longstop-sizes-") as folder, postgresql_server(Path(folder)) as server:
        store = PostgresStore(ServerSettings(server.url(DATABASE)))
        await store.open()
        sizes = []
        empty = _size(server)
        for ends in (None, delivered, parked):
            begun = len(sizes) * events
            await _append(store, range(begun + 1, begun + events + 1), b"x" * body)
            if ends is not None:
                await _end_all(store, ends)
            server.sql("VACUUM ANALYZE", DATABASE)
            sizes.append(_size(server) - empty)
        await store.close()
    _say(sizes, events, body)


def _size(server: PostgresServer) -> int:
    return int(server.sql(f"SELECT pg_database_size('{DATABASE}')"))


async def _append(store: Store, numbers: range, body: bytes) -> None:
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        await store.append([make_append(n, body=body, headers=HEADERS, dedup=b"key-%09d" % n) for n in some])


async def _end_all(store: Store, ends: Callable[[Claim], Settlement]) -> None:
    while claims := (await lease(store, AT_MS + 10**6, crm=BATCH)).claims:
        await store.settle([ends(claim) for claim in claims])


def _say(sizes: list[int], events: int, body: int) -> None:
    accepted, delivered_too, dead_too = sizes
    print(f"accepted, waiting:                {accepted / events - body:6.0f} bytes an event beside its body of {body}")
    print(f"delivered, and as many again:     {delivered_too / events / 2 - body:6.0f}")
    print(f"with as many dead besides:        {(dead_too - delivered_too) / events - body:6.0f} for each of these")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--body", type=int, default=1_000)
    options = parser.parse_args()
    asyncio.run(main(options.events, options.body))
