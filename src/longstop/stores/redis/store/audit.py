"""The audit log: ports.AuditLog over Redis."""

from collections.abc import Sequence

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.ids import format_uuid7
from longstop.model.listing import Listing, Page
from longstop.stores.record_json import packed, unpacked
from longstop.stores.redis.records import Change, RedisRecords


class RedisAudit(RedisRecords):
    """See ports.AuditLog."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """See ports.AuditLog."""
        await self._change_each(
            [
                Change("audit", each.id, packed(each), None, [(order, 0, each.id) for order in _orders(each)])
                for each in entries
            ]
        )

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """See ports.AuditLog."""
        low = None if wanted.since_ms is None else format_uuid7(wanted.since_ms, 0)
        high = None if wanted.until_ms is None else format_uuid7(wanted.until_ms, 0)
        order = _order(wanted.by, None if wanted.action is None else wanted.action.value)
        return await self._page_of("audit", await self._ids(order, page, low, high), page, AuditEntry)

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """See ports.AuditLog."""
        oldest = Page(limit, newest_first=False)
        ids = (await self._ids("audit:ids", oldest, high=format_uuid7(before_ms, 0)))[:limit]
        kept = [raw for raw in await self._records("audit", ids) if raw is not None]
        entries = [(unpacked(raw, AuditEntry), raw) for raw in kept]
        return sum(await self._change_each([_forgotten(each, raw) for each, raw in entries]))


def _order(by: str | None, action: str | None) -> str:
    """The sorted set that has the ids of these."""
    if by is None:
        return "audit:ids" if action is None else f"audit:action:{action}"
    return f"audit:by:{by}" if action is None else f"audit:both:{action}:{by}"


def _orders(entry: AuditEntry) -> list[str]:
    return [_order(by, action) for by in (None, entry.by) for action in (None, entry.action.value)]


def _forgotten(entry: AuditEntry, seen: bytes) -> Change:
    return Change("audit", entry.id, None, seen, drops=[(order, entry.id) for order in _orders(entry)])
