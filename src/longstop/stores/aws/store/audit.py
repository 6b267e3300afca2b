"""The audit log: ports.AuditLog over DynamoDB.

It may become large: an entry lies by itself, and the lists are those of global indexes. So an entry is on a list a
moment after it was noted, mostly less than a second.
"""

from collections.abc import Sequence

from longstop.model.audit import AuditAction, AuditEntry, AuditFilter
from longstop.model.ids import format_uuid7
from longstop.model.listing import Listing, Page
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, key_of
from longstop.stores.aws.records import AwsRecords, changing, dropping, record_item, to_record, unless_there
from longstop.stores.aws.unreadable import readable
from longstop.stores.aws.walk import AwsWalk, Question, Range


class AwsAudit(AwsRecords, AwsWalk):
    """See ports.AuditLog."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """See ports.AuditLog."""
        items = [self._entry_item(each) for each in entries]
        await self.units.run([changing(key_of(each), unless_there(each)) for each in items], map(key_of, items))

    def _entry_item(self, entry: AuditEntry) -> Item:
        shard = self.keys.shard_of(entry.id)
        places = {_PLACES[index]: f"{of}#{shard}" for index, of in _orders(entry)}
        return record_item(keys.audit(entry.id), entry, id=entry.id, **places)

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """See ports.AuditLog."""
        low, high = (None if ms is None else format_uuid7(ms, 0) for ms in (wanted.since_ms, wanted.until_ms))
        asked = self._asked(wanted.by, wanted.action, low, high)
        return await self.walk(asked, page, self._entries, patient=True)

    def _asked(self, by: str | None, action: AuditAction | None, low: str | None, high: str | None) -> Question:
        index, of = _order(by, action)
        return Question(tuple(Range(index, f"{of}#{shard}") for shard in self.keys.all_shards()), low, high)

    async def _entries(self, ids: Sequence[str]) -> list[AuditEntry | None]:
        found = await self.table.get([keys.audit(id_) for id_ in ids])
        made = {each.id: each for each in readable(found.values(), lambda item: to_record(item, AuditEntry))}
        return [made.get(id_) for id_ in ids]

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """See ports.AuditLog."""
        oldest = Page(limit, newest_first=False)
        ids = await self.next_ids(self._asked(None, None, None, format_uuid7(before_ms, 0)), oldest, limit)
        places = [keys.audit(id_) for id_ in ids]
        return sum(await self.units.run([dropping(each) for each in places], places))


def _order(by: str | None, action: AuditAction | None) -> tuple[str, str]:
    """The index that has these, and where in it they are, but for the shard."""
    if by is None:
        return ("everything", "audit") if action is None else ("by_type", f"audit#{action}")
    who = keys.short(by)
    return ("by_key", f"audit#{who}") if action is None else ("by_source", f"audit#{who}#{action}")


def _orders(entry: AuditEntry) -> list[tuple[str, str]]:
    return [_order(by, action) for by in (None, entry.by) for action in (None, entry.action)]


_PLACES = {index: attribute for index, (attribute, _) in keys.GLOBAL_INDEXES.items()}
"""Index to the attribute that says where in it an item is."""
