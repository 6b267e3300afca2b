"""What is kept of who did and looked at what."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.listing import Listing, Page


class AuditLog(Protocol):
    """Entries are added and, when they are old enough, forgotten. There is no way to change one."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries; durable on return. One whose id is kept already stays as it is."""

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """One page of entries, by id. `by`, `action`, both and neither have an index; times select by the time in the
        id (`id_ms`), which is when it was noted."""

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """Drop the oldest entries whose id was made before a time, at most so many; how many there were."""
