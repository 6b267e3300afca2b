"""Work on a PostgreSQL store, by whichever version of the package is imported (test_postgres_upgrade.py).

    python postgres_version_before.py URL FIRST_NUMBER

Appends, leases and settles until its standard input ends; then prints what it was acknowledged and what it settled.
"""

import asyncio
import json
import sys

from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import LeaseRequest
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered


async def work(url: str, first: int) -> None:
    """Until the input ends."""
    store = PostgresStore(ServerSettings(url, relaxed=True))
    await store.open()
    print(json.dumps("open"), flush=True)
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    acknowledged: list[str] = []
    settled: list[str] = []
    refused: list[str] = []
    number = first
    while not over.done():
        try:
            (receipt,) = await store.append([make_append(number, dedup=b"%d" % number, window_ms=10**9)])
            acknowledged.append(receipt.event_id)
            claims = (await store.lease(LeaseRequest("old", {"crm": 3}, AT_MS + 10**9, AT_MS + 2 * 10**9))).claims
            results = await store.settle([delivered(claim) for claim in claims])
            settled += [claim.delivery.id for claim, lost in zip(claims, results, strict=True) if lost is None]
            number += 1
        except StoreUnavailableError as error:
            refused.append(str(error))
    await store.close()
    print(json.dumps({"acknowledged": acknowledged, "settled": settled, "refused": refused}), flush=True)


asyncio.run(work(sys.argv[1], int(sys.argv[2])))
