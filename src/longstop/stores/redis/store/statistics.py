"""What happened when: ports.Statistics over Redis."""

import json
from collections.abc import Iterator, Mapping, Sequence

from longstop.model.statistics import BINS, Bucket, StatisticsQuery, summed
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.packing import pack
from longstop.stores.redis.reply import pairs

HASHES_AT_ONCE = 500


class RedisStatistics(RedisDatabase):
    """See ports.Statistics."""

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """See ports.Statistics."""
        if buckets:
            await self.call("add_statistics", pack([number for bucket in buckets for number in _numbers(bucket)]))

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """See ports.Statistics."""
        of_series = f"statistics:{wanted.kept_ms}:{wanted.series}"
        between = (wanted.from_ms, f"({wanted.until_ms}", "BYSCORE")
        (times,) = await self.pipeline(("ZRANGE", self._prefix + of_series, *between))
        buckets: list[Bucket] = []
        for start in range(0, len(times), HASHES_AT_ONCE):
            some = [each.decode() for each in times[start : start + HASHES_AT_ONCE]]
            hashes = await self.pipeline(*(("HGETALL", f"{self._prefix}{of_series}:{at}") for at in some))
            for at, fields in zip(some, hashes, strict=True):
                buckets += _buckets(wanted, int(at), dict(pairs(fields)))
        return summed(buckets, wanted)

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """See ports.Statistics."""
        (gone,) = await self.call("forget_statistics", step_ms, before_ms, limit, BINS)
        return int(gone)


def _numbers(bucket: Bucket) -> Iterator[tuple[str | int, ...]]:
    """The numbers of a bucket, as the function `add_statistics` wants them."""
    names = json.dumps([bucket.source, bucket.destination])
    where = (bucket.step_ms, bucket.series, bucket.at_ms)
    yield *where, f"n{names}", bucket.n
    for place, number in enumerate(bucket.bins):
        if number:
            yield *where, f"{place:02}{names}", number


def _buckets(wanted: StatisticsQuery, at_ms: int, fields: Mapping[bytes, bytes]) -> Iterator[Bucket]:
    for field, number in fields.items():
        if not field.startswith(b"n"):
            continue
        names = field[1:]
        bins = tuple(int(fields.get(b"%02d" % place + names, 0)) for place in range(BINS))
        source, destination = json.loads(names)
        kept = bins if any(bins) else ()
        yield Bucket(wanted.kept_ms, at_ms, wanted.series, source, destination, int(number), kept)
