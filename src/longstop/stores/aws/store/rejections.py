"""Refused requests: counted, and shown as samples. A part of ports.Rejections over DynamoDB."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from longstop.model.listing import Listing, Page
from longstop.model.rejection import SAMPLES_KEPT, Rejection, RejectionCount
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of
from longstop.stores.aws.records import AwsRecords, Order, changing, dropping, record_item, to_record
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import readable

Times = dict[str, int]
"""The ids of a source's samples, and when each was refused."""


class AwsRejections(AwsRecords):
    """What was refused. Beside the counts lies of which samples there are, so that they go as others come."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """See ports.Rejections."""
        units = [*map(_counting, counts), *map(_sampling, samples)]
        needs = [*map(_count_key, counts), *(_times_key(each.source) for each in samples)]
        await self.units.run(units, needs)

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """See ports.Rejections."""
        order = Order(keys.refused(source, "")[0])
        return await self._page(order, page, lambda item: to_record(item, Rejection))

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """See ports.Rejections."""
        return list(readable(await self.table.query(keys.REFUSED, "c#", "c#~"), _count))

    async def forget_rejections(self, before_ms: int) -> int:
        """See ports.Rejections."""
        counts = await self.table.query(keys.REFUSED, "c#", "c#~")
        over = [row for row in counts for count in readable([row], _count) if count.last_at_ms < before_ms]
        # One that was added to meanwhile has another stamp, and stays.
        await self.units.run([dropping(key_of(row), row, "v") for row in over])
        rows = await self.table.query(keys.REFUSED, "s#", "s#~")
        return sum(await self.units.run([_forgetting(str(row["sk"])[2:], before_ms) for row in rows]))


def _count_key(count: RejectionCount) -> Key:
    return keys.REFUSED, f"c#{count.source}#{count.reason}"


def _count(item: Item) -> RejectionCount:
    return to_record(item, RejectionCount)


def _counting(more: RejectionCount) -> Callable[[View[Any]], Awaitable[object]]:
    def added(item: Item | None) -> Item:
        return record_item(_count_key(more), more if item is None else _sum(_count(item), more))

    return changing(_count_key(more), added)


def _sum(kept: RejectionCount, more: RejectionCount) -> RejectionCount:
    return replace(
        kept,
        count=kept.count + more.count,
        first_at_ms=min(kept.first_at_ms, more.first_at_ms),
        last_at_ms=max(kept.last_at_ms, more.last_at_ms),
    )


# -- samples --------------------------------------------------------------------------------------


def _times_key(source: str) -> Key:
    return keys.REFUSED, f"s#{source}"


async def _times(view: View[Any], source: str) -> Times:
    item = await view.get(_times_key(source))
    return {} if item is None else to_record(item, Times)


async def _keep_times(view: View[Any], source: str, times: Times) -> None:
    if times:
        await view.put(record_item(_times_key(source), times))
    else:
        await view.drop(_times_key(source))


def _sampling(sample: Rejection) -> Callable[[View[Any]], Awaitable[object]]:
    source = sample.source

    async def unit(view: View[None]) -> None:
        times = await _times(view, source) | {sample.id: sample.at_ms}
        for id_ in sorted(times)[:-SAMPLES_KEPT]:
            del times[id_]
            await view.drop(keys.refused(source, id_))
        if sample.id in times:
            await view.put(record_item(keys.refused(source, sample.id), sample))
        await _keep_times(view, source, times)

    return unit


def _forgetting(source: str, before_ms: int) -> Callable[[View[int]], Awaitable[int]]:
    """A unit: drop a source's samples of before a time; how many."""

    async def unit(view: View[int]) -> int:
        times = await _times(view, source)
        old = [id_ for id_, at_ms in times.items() if at_ms < before_ms]
        for id_ in old:
            await view.drop(keys.refused(source, id_))
        if old:
            await _keep_times(view, source, {id_: at for id_, at in times.items() if id_ not in old})
        return len(old)

    return unit
