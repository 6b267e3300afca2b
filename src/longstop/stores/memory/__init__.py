"""A store in plain dicts: for tests, for simulations and for embedding where losing everything on exit is fine.

It keeps every promise of the ports but the one about the disk. No method awaits anything between its first
change and its last, so each batch is one step of the event loop: all or nothing, and no other caller sees half.
"""

from longstop.stores.memory.accounts import MemoryAccounts
from longstop.stores.memory.alerts import MemoryAlertBooks
from longstop.stores.memory.audit import MemoryAudit
from longstop.stores.memory.decisions import MemoryDecisions
from longstop.stores.memory.health import MemoryHealth
from longstop.stores.memory.inbox import MemoryInbox
from longstop.stores.memory.jobs import MemoryJobs
from longstop.stores.memory.keyed_requests import MemoryKeyedRequests
from longstop.stores.memory.lookups import MemoryLookups
from longstop.stores.memory.nodes import MemoryNodes
from longstop.stores.memory.rejections import MemoryRejections
from longstop.stores.memory.retention import MemoryRetention
from longstop.stores.memory.statistics import MemoryStatistics
from longstop.stores.memory.transfer import MemoryTransfer


class MemoryStore(
    MemoryInbox,
    MemoryJobs,
    MemoryLookups,
    MemoryDecisions,
    MemoryRetention,
    MemoryNodes,
    MemoryHealth,
    MemoryRejections,
    MemoryKeyedRequests,
    MemoryStatistics,
    MemoryAccounts,
    MemoryAudit,
    MemoryAlertBooks,
    MemoryTransfer,
):
    """Implements `ports.Store` within one process and one event loop. What it holds lasts as long as the object."""

    async def open(self) -> None:
        """Nothing to do: it is open from the start."""

    async def close(self) -> None:
        """Nothing to do. What is kept stays, so that a simulated restart can go on with the same object."""

    def ready(self) -> bool:
        """Always."""
        return True
