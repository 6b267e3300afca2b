"""An empty place on one server for each measurement of a run: all who are measured have the same server.

with ExitStack() as stack:
    places = Places(stack, folder)
    url = places.empty("postgresql")
"""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis as driver
from servers import DATABASE, emulated_aws, postgresql_server, redis

NEEDS_A_SERVER = ("postgresql", "redis", "aws")


class Places:
    """The servers of a run, each started when it is first asked for and ended with the stack, in folders below one."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._servers: dict[str, Any] = {}

    def empty(self, store: str) -> str:
        """What `[store] url` takes for an empty place of this kind; what was there before is gone."""
        if store == "postgresql":
            return self._database()
        if store == "redis":
            return self._keys()
        if store == "aws":
            return self._table()
        return "sqlite:///bench.db"

    def sql(self, statement: str) -> str:
        """What the PostgreSQL in use answers."""
        return str(self._servers["postgresql"].sql(statement))

    def _table(self) -> str:
        """A new emulator each time: what the last one holds would slow the next one down."""
        server = self._stack.enter_context(emulated_aws(self._folder / f"aws-{len(self._servers)}"))
        before = self._servers.pop("aws", None)
        if before is not None:
            before.stop()
        self._servers["aws"] = self._servers[f"aws-{len(self._servers)}"] = server
        name = server.table()
        server.call("AmazonSQS.CreateQueue", {"QueueName": name})
        return f"aws://eu-central-1?table={name}&queue={name}&endpoint={server.url}"

    def _database(self) -> str:
        if "postgresql" not in self._servers:
            self._servers["postgresql"] = self._stack.enter_context(postgresql_server(self._folder / "pg"))
        server = self._servers["postgresql"]
        server.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.sql(f"CREATE DATABASE {DATABASE}")
        # What the last one has left to be written is not the next one's business.
        server.sql("CHECKPOINT")
        return server.url(DATABASE)

    def _keys(self) -> str:
        if "redis" not in self._servers:
            self._servers["redis"] = self._stack.enter_context(redis(self._folder / "redis"))
        url = self._servers["redis"]
        with driver.Redis.from_url(url) as client:
            client.flushall()
            client.bgrewriteaof()
            while client.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.05)
        return f"{url}/0"
