"""Setting up an account: what `longstop aws` does."""

from collections.abc import AsyncIterator
from typing import Any

from longstop.model.errors import ConfigurationError
from longstop.model.setup import Finding, Step
from longstop.ports import Clock
from longstop.stores.aws.setup import findings
from longstop.stores.aws.setup.asking import Services
from longstop.stores.aws.setup.facts import bucket_facts, function_facts, queue_facts, table_facts
from longstop.stores.aws.setup.make import make_missing
from longstop.stores.aws.setup.probes import usable
from longstop.stores.aws.setup.roles import of_roles
from longstop.stores.aws.setup.template import template
from longstop.stores.aws.setup.wanted import VISIBILITY_TIMES, Wanted
from longstop.stores.aws.setup.yaml import to_yaml


class Account:
    """Whose credentials are found where every program on AWS finds them."""

    def __init__(self, wanted: Wanted, clock: Clock) -> None:
        self._wanted = wanted
        self._clock = clock

    def template(self, *, sam: bool, kms: bool) -> dict[str, Any]:
        """See `template.template`. Raises ConfigurationError where functions could not be called."""
        if self._wanted.queue is None:
            problem = "store.url: found aws:// without queue=; expected queue=NAME, by which functions are called"
            raise ConfigurationError((problem,))
        return template(self._wanted, sam=sam, kms=kms)

    def as_text(self, made: dict[str, Any]) -> str:
        """A template for people."""
        return to_yaml(made)

    async def init(self) -> AsyncIterator[Step]:
        """Make what is missing. Raises StoreUnavailableError."""
        async with Services(self._wanted.region, self._wanted.endpoint) as services:
            async for step in make_missing(services, self._wanted):
                yield step

    async def check(self) -> AsyncIterator[Finding]:
        """Look at everything. Raises StoreUnavailableError where a service does not answer."""
        wanted = self._wanted
        async with Services(wanted.region, wanted.endpoint) as services:
            table = await table_facts(services, wanted)
            for finding in findings.of_clock(self._clock.now_ms(), services.now_ms):
                yield finding
            for finding in findings.of_table(wanted, table):
                yield finding
            async for finding in self._around(services):
                yield finding
            if table.table.value is not None or table.table.denied is not None:
                async for finding in usable(services, wanted, self._clock.now_ms()):
                    yield finding

    async def _around(self, services: Services) -> AsyncIterator[Finding]:
        wanted = self._wanted
        functions = await function_facts(services, wanted)
        if wanted.queue is not None:
            work_s = int((functions["work"].value or {}).get("Timeout", wanted.work_s))
            for finding in await self._of_queues(services, wanted.queue, VISIBILITY_TIMES * work_s):
                yield finding
        if wanted.bucket is not None:
            bucket = await bucket_facts(services, wanted.bucket)
            for finding in findings.of_bucket(wanted.bucket, bucket):
                yield finding
            if bucket.bucket.value is not None and bucket.policy.denied is None and not wanted.is_plain:
                yield findings.of_tls(f"bucket {wanted.bucket}", bucket.document())
        for finding in findings.of_functions(wanted, functions):
            yield finding
        async for finding in of_roles(services, wanted, functions):
            yield finding

    async def _of_queues(self, services: Services, name: str, visibility_s: int) -> list[Finding]:
        dead_name = self._wanted.dead_queue
        queue, dead = await queue_facts(services, name), await queue_facts(services, dead_name)
        found = [
            *findings.of_queue(name, queue, dead, visibility_s),
            *findings.of_dead_queue(dead_name, dead, queue),
        ]
        for each, facts in ((name, queue), (dead_name, dead)):
            if facts.attributes.value is not None and not self._wanted.is_plain:
                found.append(findings.of_tls(f"queue {each}", facts.document("Policy")))
        return found
