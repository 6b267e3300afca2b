"""Going through what has ended in the order of when it did, a few at a time, from a cursor on."""

from collections.abc import Sequence

from longstop.stores.redis.reading import RedisReading
from longstop.stores.redis.reply import pairs

Entry = tuple[int, str]
"""When, and which: a delivery's id, or an event's that has none."""


class RedisEnded(RedisReading):
    """What ended in a state, by when."""

    async def _ended(self, state: str, before_ms: int, after: str | None, limit: int) -> tuple[list[Entry], bool]:
        """The next few that ended before a time, and whether there are more."""
        last = entry_of(after)
        since: int | str = "-inf" if last is None else last[0]
        found: list[Entry] = []
        offset = 0
        while len(found) <= limit:
            page = (since, f"({before_ms}", "BYSCORE", "LIMIT", offset, limit + 1, "WITHSCORES")
            (raw,) = await self.pipeline(("ZRANGE", f"{self._prefix}ended:{state}", *page))
            entries = [(int(at_ms), id_.decode()) for id_, at_ms in pairs(raw)]
            # Of those that ended in the same millisecond as the last one, some were given before.
            found += [entry for entry in entries if last is None or entry > last]
            offset += limit + 1
            if len(entries) <= limit:
                break
        return found[:limit], len(found) > limit

    async def _events_of(self, entries: Sequence[Entry], are_events: bool) -> list[str]:
        """The events of these, each once."""
        ids = [id_ for _, id_ in entries]
        if not are_events:
            ids = [each.event_id for each in await self._deliveries(ids) if each is not None]
        return list(dict.fromkeys(ids))


def last_of(entries: Sequence[Entry], after: str | None) -> str | None:
    """The cursor behind these; the one of before where there are none."""
    return f"{entries[-1][0]} {entries[-1][1]}" if entries else after


def entry_of(cursor: str | None) -> Entry | None:
    """What a cursor stands behind."""
    if cursor is None:
        return None
    at_ms, _, id_ = cursor.partition(" ")
    return int(at_ms), id_
