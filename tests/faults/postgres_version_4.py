"""A process of the version before the spans: its migrations, and its statements where they have been changed since.

    python postgres_version_4.py URL FIRST_NUMBER

Appends, leases and settles until its standard input ends; then prints what it was acknowledged and what it settled.
"""

import asyncio
import json
import sys

from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import LeaseRequest
from longstop.stores.postgres import (
    PostgresStore,
    ServerSettings,
    append_rows,
    dead_groups,
    decisions,
    leases,
    ledger,
    retention,
    schema,
    settlements,
)
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, EVENT
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered

UNTIL_MS = AT_MS + 30_000
STATEMENTS = {
    append_rows: {
        "_KEPT": "SELECT id, source, received_at_ms, sha256(body) AS body FROM events WHERE id = ANY($1::varchar[])"
    },
    decisions: {
        "_STANDING": f"SELECT {DELIVERY}, d.dead_group FROM {DELIVERIES} WHERE d.id = ANY($1::varchar[])",
        "_LOCK": "SELECT id FROM deliveries WHERE id = ANY($1::varchar[]) ORDER BY id FOR UPDATE",
    },
    dead_groups: {"_JOIN": "UPDATE deliveries SET dead_group = $2 WHERE id = ANY($1::varchar[])"},
    leases: {
        "_READ": f"SELECT {DELIVERY}, {EVENT} FROM {DELIVERIES} LEFT JOIN events e ON e.id = d.event_id"
        " WHERE d.id = ANY($1::varchar[])"
    },
    ledger: {
        "_EVENTS": f"SELECT {EVENT}, e.redeliveries FROM events e WHERE e.id = ANY($1::text[]) ORDER BY e.id",
        "_DELIVERIES": f"SELECT {DELIVERY} FROM {DELIVERIES} WHERE d.id = ANY($1::text[])",
    },
    settlements: {"_STANDING": f"SELECT {DELIVERY} FROM {DELIVERIES} WHERE d.id = ANY($1::varchar[])"},
    retention: {
        "_SPANS": "SELECT NULL, NULL",
        "_FORGET_EVENTS": "DELETE FROM events WHERE id = ANY($1::text[]) RETURNING source, routed",
    },
}


class StoreOfVersion4(PostgresStore):
    """It plans as it did, too."""

    def __init__(self, url: str) -> None:
        super().__init__(ServerSettings(url, relaxed=True))


def go_back() -> None:
    """Make this process one of that version."""
    for module, statements in STATEMENTS.items():
        for name, sql in statements.items():
            assert hasattr(module, name), name
            setattr(module, name, sql)
    version_4 = schema.MIGRATIONS[:4]
    schema.prepare.__defaults__ = schema.refuse_newer.__defaults__ = (version_4,)
    session = ServerSettings.session
    ServerSettings.session = lambda self: {**session(self), "plan_cache_mode": "auto"}  # type: ignore[method-assign]


async def work(url: str, first: int) -> None:
    """Until the input ends."""
    store = StoreOfVersion4(url)
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
            claims = (await store.lease(LeaseRequest("old", {"crm": 3}, AT_MS + 10**9, UNTIL_MS + 10**9))).claims
            results = await store.settle([delivered(claim) for claim in claims])
            settled += [claim.delivery.id for claim, lost in zip(claims, results, strict=True) if lost is None]
            number += 1
        except StoreUnavailableError as error:
            refused.append(str(error))
    await store.close()
    print(json.dumps({"acknowledged": acknowledged, "settled": settled, "refused": refused}), flush=True)


if __name__ == "__main__":
    go_back()
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
