"""What a gateway tells of itself: the meter between the services and the store, the metrics, the statistics."""

from collections.abc import Callable, Mapping

from longstop.config import Config
from longstop.model.statistics import Counted, Series
from longstop.operating.statistics import StatisticsWriter
from longstop.operating.store_watch import StoreWatch
from longstop.ports import Store, Transactions
from longstop.telemetry.meter import Meter
from longstop.telemetry.metered_store import metered, metered_transactions
from longstop.telemetry.metrics import Here, Metrics, Names, Totals
from longstop.telemetry.store_facts import StoreFactsReader
from longstop.telemetry.store_outage import StoreOutage, watched, watched_transactions
from longstop.wiring.parts import Parts


class Signals:
    """The signals of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._meter = Meter()
        self._facts = StoreFactsReader(parts.store, parts.clock)
        self._refused: Callable[[], Totals] = dict
        outage = StoreOutage(parts.clock)
        self.store: Store = watched(metered(parts.store, self._meter), outage)
        """The gateway's store, with what passes through it counted, which tells when it cannot be had."""
        self.transactions: Transactions | None = (
            watched_transactions(metered_transactions(parts.store, self._meter), outage)
            if isinstance(parts.store, Transactions)
            else None
        )
        self.store_watch = StoreWatch(parts.store, parts.clock)
        self.statistics = StatisticsWriter(parts.store, self._totals, parts.clock)

    def metrics(self, here: Here) -> Metrics:
        """The metrics. here: what they ask the gateway."""
        if here.refused is not None:
            self._refused = here.refused
        names = _names(self._parts.config, accepts=here.refused is not None, delivers=here.delivers)
        return Metrics(self._meter, names, here, self._facts, self._parts.clock)

    async def stop(self) -> None:
        """Write the last of the statistics; everything else has ended, and the store is open yet."""
        self._facts.close()
        await self.statistics.write()

    def _totals(self) -> Mapping[Counted, int]:
        totals = dict(self._meter.totals())
        for (source, _), number in self._refused().items():
            key = (Series.REFUSED.value, source, "")
            totals[key] = totals.get(key, 0) + number
        return totals


def _names(config: Config, *, accepts: bool, delivers: bool) -> Names:
    routes = ((route.source, destination) for route in config.routes for destination in route.to)
    return Names(
        sources=tuple(each.name for each in config.sources) if accepts else (),
        destinations=tuple(each.name for each in config.destinations) if delivers else (),
        routes=tuple(dict.fromkeys(routes)),
    )
