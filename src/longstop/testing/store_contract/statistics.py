"""Statistics: numbers by minute and by hour that add up, whoever adds them."""

from dataclasses import replace

from longstop.model.statistics import BINS, HOURS, MINUTES, Bucket, Series, StatisticsQuery
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect_equal

START_MS = HOURS.start(AT_MS)
MINUTE_MS, HOUR_MS = MINUTES.step_ms, HOURS.step_ms
ALL = StatisticsQuery("delivered", MINUTE_MS, START_MS, START_MS + HOUR_MS, HOUR_MS)


def bucket(
    minute: int, n: int, source: str = "shop", destination: str = "crm", series: str = "delivered", step: int = 60_000
) -> Bucket:
    """A number of a minute, counted from START_MS; or of an hour."""
    return Bucket(step, START_MS + minute * step, series, source, destination, n)


async def check_numbers_are_added(store: Store) -> None:
    """To what is kept of the same time and names, and to nothing else."""
    expect_equal(list(await store.statistics(ALL)), [], "statistics of an empty store")
    await store.add_statistics([bucket(0, 2), bucket(1, 3)])
    await store.add_statistics([bucket(0, 5), bucket(0, 7, series="dead"), bucket(0, 11, step=HOUR_MS)])
    by_minute = replace(ALL, step_ms=MINUTE_MS)
    expect_equal(
        [(each.at_ms, each.n) for each in await store.statistics(by_minute)],
        [(START_MS, 7), (START_MS + MINUTE_MS, 3)],
        "by minute",
    )
    expect_equal([each.n for each in await store.statistics(ALL)], [10], "together")
    expect_equal([each.n for each in await store.statistics(replace(ALL, kept_ms=HOUR_MS))], [11], "of the hours")
    expect_equal([each.n for each in await store.statistics(replace(ALL, series="dead"))], [7], "of another series")


async def check_the_same_time_twice_in_one_call(store: Store) -> None:
    """Both count."""
    await store.add_statistics([bucket(0, 2), bucket(0, 3)])
    expect_equal([each.n for each in await store.statistics(ALL)], [5], "sum")


async def check_times_are_from_inclusive_until_exclusive(store: Store) -> None:
    """And sums begin where the query does."""
    await store.add_statistics([bucket(minute, 10**minute) for minute in range(6)])
    wanted = replace(ALL, from_ms=START_MS + MINUTE_MS, until_ms=START_MS + 5 * MINUTE_MS, step_ms=3 * MINUTE_MS)
    expect_equal(
        [(each.at_ms, each.step_ms, each.n) for each in await store.statistics(wanted)],
        [(START_MS + MINUTE_MS, 3 * MINUTE_MS, 1_110), (START_MS + 4 * MINUTE_MS, 3 * MINUTE_MS, 10_000)],
        "sums of three minutes",
    )


async def check_sums_by_name(store: Store) -> None:
    """For each source, each destination or both, or for all; and of one alone."""
    numbers = {("a", "x"): 1, ("a", "y"): 2, ("b", "x"): 4}
    await store.add_statistics([bucket(0, n, *names) for names, n in numbers.items()])

    async def sums(**changes: object) -> list[tuple[str, str, int]]:
        found = await store.statistics(replace(ALL, **changes))  # type: ignore[arg-type]
        return [(each.source, each.destination, each.n) for each in found]

    expect_equal(await sums(), [("", "", 7)], "of all")
    expect_equal(await sums(by_source=True), [("a", "", 3), ("b", "", 4)], "by source")
    expect_equal(await sums(by_destination=True), [("", "x", 5), ("", "y", 2)], "by destination")
    both = [("a", "x", 1), ("a", "y", 2), ("b", "x", 4)]
    expect_equal(await sums(by_source=True, by_destination=True), both, "by both")
    expect_equal(await sums(source="a"), [("", "", 3)], "of a source")
    expect_equal(await sums(destination="x", by_source=True), [("a", "", 1), ("b", "", 4)], "of a destination")
    expect_equal(await sums(source="c"), [], "of one that is not there")


async def check_bins_of_the_latency_add_up(store: Store) -> None:
    """Each for itself, beside the number of all; over time, sources and destinations as counts do."""

    def latency(minute: int, place: int, n: int, source: str = "shop") -> Bucket:
        bins = tuple(n if each == place else 0 for each in range(BINS))
        return replace(bucket(minute, n, source, series=Series.LATENCY.value), bins=bins)

    await store.add_statistics([latency(0, 0, 1), latency(0, 4, 10), latency(0, 0, 100)])
    await store.add_statistics([latency(0, 4, 1_000), latency(1, BINS - 1, 7), latency(0, 2, 5, source="app")])
    await store.add_statistics([bucket(0, 3)])
    wanted = replace(ALL, series=Series.LATENCY.value)

    async def told(**changes: object) -> list[tuple[str, int, dict[int, int]]]:
        found = await store.statistics(replace(wanted, **changes))  # type: ignore[arg-type]
        expect_equal({len(each.bins) for each in found}, {BINS}, "bins of each")
        return [(each.source, each.n, {at: n for at, n in enumerate(each.bins) if n}) for each in found]

    last = BINS - 1
    expect_equal(await told(), [("", 1_123, {0: 101, 2: 5, 4: 1_010, last: 7})], "of all")
    by_minute = [("", 1_116, {0: 101, 2: 5, 4: 1_010}), ("", 7, {last: 7})]
    expect_equal(await told(step_ms=MINUTE_MS), by_minute, "by minute")
    by_source = [("app", 5, {2: 5}), ("shop", 1_118, {0: 101, 4: 1_010, last: 7})]
    expect_equal(await told(by_source=True), by_source, "by source")
    expect_equal([each.bins for each in await store.statistics(ALL)], [()], "bins of a count")


async def check_what_is_old_is_dropped(store: Store) -> None:
    """Of one resolution, from before a time, and no more at once than asked for."""
    await store.add_statistics([bucket(minute, 1) for minute in range(5)])
    await store.add_statistics([bucket(0, 1, step=HOUR_MS)])
    before_ms = START_MS + 3 * MINUTE_MS
    expect_equal(await store.forget_statistics(MINUTE_MS, before_ms, 2), 2, "dropped at first")
    expect_equal(await store.forget_statistics(MINUTE_MS, before_ms, 2), 1, "dropped then")
    expect_equal(await store.forget_statistics(MINUTE_MS, before_ms, 2), 0, "dropped at last")
    expect_equal([each.n for each in await store.statistics(ALL)], [2], "what is left of the minutes")
    expect_equal([each.n for each in await store.statistics(replace(ALL, kept_ms=HOUR_MS))], [1], "hours")


async def check_a_bucket_is_dropped_with_its_bins(store: Store) -> None:
    """Also where another of the same minute is left: what comes to its place then begins anew."""
    bins = tuple(3 if place == 4 else 0 for place in range(BINS))
    names = ("app", "shop")
    old = [replace(bucket(0, 3, name, series=Series.LATENCY.value), bins=bins) for name in names]
    await store.add_statistics(old)
    expect_equal(await store.forget_statistics(MINUTE_MS, START_MS + 1, 1), 1, "dropped")
    wanted = replace(ALL, series=Series.LATENCY.value, by_source=True)
    (left,) = await store.statistics(wanted)
    expect_equal((left.n, left.bins), (3, bins), "the other")
    await store.add_statistics(old)
    found = {each.source: (each.n, sum(each.bins)) for each in await store.statistics(wanted)}
    gone = next(name for name in names if name != left.source)
    expect_equal(found, {gone: (3, 3), left.source: (6, 6)}, "numbers, and all bins together")
