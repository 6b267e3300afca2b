"""A file in which each bin of a latency was a series of its own: they lie in one row now, and nothing is lost."""

from pathlib import Path

import apsw

from longstop.model.statistics import BINS, HOURS, MINUTES, Series, StatisticsQuery
from longstop.stores.sqlite import SqliteStore, schema, statistics

BEFORE = schema.MIGRATIONS.index(statistics.MIGRATION_BINS)
OLD = [
    (60_000, "latency.00", 60_000, "shop", "crm", 3),
    (60_000, "latency.17", 60_000, "shop", "crm", 4),
    (60_000, "latency.04", 120_000, "shop", "crm", 5),
    (60_000, "latency.04", 60_000, "app", "crm", 6),
    (3_600_000, "latency.00", 0, "shop", "crm", 7),
    (60_000, "delivered", 60_000, "shop", "crm", 8),
]


def bins(**numbers: int) -> tuple[int, ...]:
    return tuple(numbers.get(f"b{place}", 0) for place in range(BINS))


async def test_bins_that_were_series_are_bins_of_the_latency(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = apsw.Connection(str(path))
    schema.prepare(connection, str(path), schema.MIGRATIONS[:BEFORE])
    connection.executemany(
        "INSERT INTO statistics (step_ms, series, at_ms, source, destination, n) VALUES (?, ?, ?, ?, ?, ?)", OLD
    )
    connection.close()
    store = SqliteStore(path, watch_s=None, threaded=False)
    await store.open()
    latency = StatisticsQuery(Series.LATENCY.value, MINUTES.step_ms, 0, 2**50, MINUTES.step_ms, by_source=True)
    assert [(each.at_ms, each.source, each.n, each.bins) for each in await store.statistics(latency)] == [
        (60_000, "app", 6, bins(b4=6)),
        (60_000, "shop", 7, bins(b0=3, b17=4)),
        (120_000, "shop", 5, bins(b4=5)),
    ]
    hours = StatisticsQuery(Series.LATENCY.value, HOURS.step_ms, 0, 2**50, HOURS.step_ms)
    assert [each.bins for each in await store.statistics(hours)] == [bins(b0=7)]
    delivered = StatisticsQuery("delivered", MINUTES.step_ms, 0, 2**50, MINUTES.step_ms)
    assert [(each.n, each.bins) for each in await store.statistics(delivered)] == [(8, ())]
    left = await store._reader.call(lambda reading: reading.execute("SELECT count(*) FROM statistics").get)
    assert left == 5
    await store.close()
