"""The audit log."""

from collections.abc import Sequence

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.ids import id_ms
from longstop.model.listing import Listing, Page
from longstop.stores.memory.paging import page_of


class MemoryAudit:
    """What people did and looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._audit: dict[str, AuditEntry] = {}

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries."""
        for each in entries:
            self._audit.setdefault(each.id, each)

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """One page of entries."""
        return page_of({id_: each for id_, each in self._audit.items() if _fits(each, wanted)}, page)

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """Drop the oldest."""
        old = sorted(id_ for id_ in self._audit if id_ms(id_) < before_ms)[:limit]
        for id_ in old:
            del self._audit[id_]
        return len(old)


def _fits(entry: AuditEntry, wanted: AuditFilter) -> bool:
    at_ms = id_ms(entry.id)
    return (
        (wanted.by is None or entry.by == wanted.by)
        and (wanted.action is None or entry.action is wanted.action)
        and (wanted.since_ms is None or at_ms >= wanted.since_ms)
        and (wanted.until_ms is None or at_ms < wanted.until_ms)
    )
