"""A gateway with a spool: what the configuration says of it, and what is seen of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from longstop.config import Config, parse
from longstop.edges.desk.lookups import status_of
from longstop.model.errors import ConfigurationError, StoreUnavailableError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.spool import SpoolSettings
from longstop.wiring import Gateway, Role, opened

CONFIG = """
[store]
url = "sqlite:///far/longstop.db"
{spool}

[sources.shop]
kind = "generic"
verify = {{ scheme = "none" }}
dedup = "id"
"""
SPOOL = 'spool = "sqlite:///spool.db"'


def config(folder: Path, spool: str = SPOOL) -> Config:
    return parse(CONFIG.format(spool=spool), where="longstop.toml", environ={}, base=folder)


def test_what_a_spool_is_configured_by(tmp_path: Path) -> None:
    assert config(tmp_path, "").spool is None
    assert config(tmp_path).spool == SpoolSettings(str(tmp_path / "spool.db"), min_free_bytes=100_000_000)
    more = f'{SPOOL}\nspool_after = "500ms"\nspool_max_events = 7\nspool_max_size = "5GB"\nmin_free = "1MB"'
    assert config(tmp_path, more).spool == SpoolSettings(str(tmp_path / "spool.db"), 500, 7, 5 * 10**9, 10**6)


@pytest.mark.parametrize(
    ("spool", "said"),
    [
        ('spool = "spool.db"', "store.spool: found text that is not a URL; expected sqlite:///FILE"),
        ('spool = "redis://a"', 'store.spool: found a URL that begins with "redis:"; expected sqlite:///FILE'),
        ('spool = "sqlite:///far/longstop.db"', "store.spool: found the store's own file; expected a file of its own"),
        ('spool_after = "1s"', "store.spool_after: found it without a spool; expected a spool beside it"),
        (f'{SPOOL}\nspool_after = "4s"', 'store.spool_after: found "4s"; expected at most 3s'),
        (f"{SPOOL}\nspool_max_events = 0", "store.spool_max_events: found 0"),
        ('spool = "sqlite:///"', "store.spool: found no file's path"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, spool: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(tmp_path, spool)
    assert said in "\n".join(caught.value.problems)


async def post(gateway: Gateway, number: int) -> Any:
    request = Request(Headers([("Content-Type", "application/json")]), b'{"id": %d}' % number, "POST")
    return await gateway.ingest.receive(gateway.ingest.source("shop"), request)


async def test_a_gateway_without_its_store_takes_events_and_says_so(tmp_path: Path) -> None:
    settings = config(tmp_path)
    gateway = Gateway(settings, Role.INGEST)
    await gateway.start()
    try:
        for number in (1, 2, 2):
            assert (await post(gateway, number)).status == 200
        assert gateway.why_not_ready() == []
        services = gateway.operators_services(gateway.why_not_ready)
        facts = services.spool()
        assert facts is not None
        assert (facts.in_use, facts.events, facts.full) == (True, 2, False)
        # Who looks from beside it hears of it, too.
        with pytest.raises(StoreUnavailableError, match=r"the spool keeps 2 events \(\d+ bytes\) meanwhile"):
            async with opened(settings):
                pass
        (tmp_path / "far").mkdir()
        async with asyncio.timeout(20):
            while services.spool().in_use:  # type: ignore[union-attr]
                await asyncio.sleep(0.05)
        row = await status_of(services)
        assert (row["events"], row["spool"]["in_use"], row["spool"]["events"]) == (2, False, 0)
    finally:
        await gateway.stop()
    async with opened(settings) as parts:
        assert (await parts.store.counts()).events == 2
        assert (await status_of(parts))["spool"]["events"] == 0


async def test_a_full_spool_is_a_reason_not_to_be_ready(tmp_path: Path) -> None:
    gateway = Gateway(config(tmp_path, f"{SPOOL}\nspool_max_events = 1"), Role.INGEST)
    await gateway.start()
    try:
        assert (await post(gateway, 1)).status == 200
        (why,) = gateway.why_not_ready()
        assert why.startswith("the store cannot be had, and the spool is full: ")
    finally:
        await gateway.stop()


async def test_without_a_spool_nothing_is_in_front_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    async with opened(config(tmp_path, "")) as parts:
        assert parts.spool() is None
        assert (await status_of(parts))["spool"] is None


async def test_a_process_that_only_delivers_has_no_spool(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    gateway = Gateway(config(tmp_path), Role.WORK)
    await gateway.start()
    try:
        assert gateway.operators_services(list).spool() is not None, "it shows what its neighbour's file holds"
        assert not (tmp_path / "spool.db").exists()
    finally:
        await gateway.stop()
