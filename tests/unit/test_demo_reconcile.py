"""The demo's honesty: the count at the end, the sender that gives up, the destination that writes down what it took."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from longstop import config
from longstop.demo import gateway, platform
from longstop.demo.backend import Backend
from longstop.demo.platform import Platform, compose, signature
from longstop.demo.reconcile import Report, Sent, reconcile
from longstop.model.delivery import DeadReason
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.sources import build

SECRET = "sixteen-characters-and-more"
BOOK = (Sent("a", b"1", "id-1"), Sent("b", b"2", "id-2"), Sent("c", b"3", "id-3"))
ALL = {"id-1": b"1", "id-2": b"2", "id-3": b"3"}


class NoTime:
    """A clock on which no time passes; it remembers what was asked of it."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 1_767_225_600_000

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Reliable(random.Random):
    """Dice that never fall on trouble."""

    def random(self) -> float:
        return 0.999


def report(after, before=None, dead=None) -> Report:
    return Report(
        before or after, after, redeliveries=0, delivered_again=0, attempts=3, dead=dead or {}, kills=1, seconds=1
    )


# -- the count


def test_everything_that_was_accepted_and_arrived_is_delivered():
    found = reconcile(BOOK, ALL)
    assert (found.sent, found.accepted, found.delivered, found.missing, found.given_up) == (3, 3, 3, (), ())
    assert report(found).exit_status == 0


def test_what_did_not_arrive_is_missing_by_its_id_and_fails():
    found = reconcile(BOOK, {key: body for key, body in ALL.items() if key != "id-2"})
    assert (found.delivered, found.missing) == (2, ("id-2",))
    assert report(found).exit_status == 1


def test_an_event_that_arrived_with_another_ones_body_is_missing():
    assert reconcile(BOOK, {**ALL, "id-2": b"3"}).missing == ("id-2",)


def test_two_events_kept_as_one_lose_one():
    book = (BOOK[0], Sent("b", b"2", "id-1"))
    assert reconcile(book, ALL).missing == ("id-1",)


def test_an_event_that_was_never_accepted_is_not_missing_but_fails_all_the_same():
    found = reconcile((*BOOK, Sent("d", b"4")), ALL)
    assert (found.sent, found.accepted, found.missing, found.given_up) == (4, 3, (), ("d",))
    assert report(found).exit_status == 1


def test_what_the_destination_got_beyond_the_book_changes_nothing():
    assert reconcile(BOOK, {**ALL, "id-9": b"9"}) == reconcile(BOOK, ALL)


def test_the_table_and_the_json_tell_the_same():
    dead = {DeadReason.EXHAUSTED: 2, DeadReason.REJECTED: 1}
    told = report(reconcile(BOOK, {"id-1": b"1"}), dead=dead)
    numbers = {label: number for label, number, _ in told.rows()}
    as_json = told.as_json()
    assert numbers["sent"] == as_json["sent"] == 3
    assert numbers["delivered"] == as_json["delivered"] == 1
    assert numbers["missing after replay"] == as_json["missing_after"] == 2
    assert numbers["dead before replay"] == as_json["dead_before_replay"] == 3
    assert as_json["dead_by_reason"] == {"exhausted": 2, "rejected": 1}
    assert as_json["missing_ids"] == ("id-2", "id-3")
    assert as_json["ok"] is False


# -- the sender


def test_every_event_is_one_of_its_own_and_verifies():
    source = build(SourceSettings("genesys", "genesys-open-messaging", secrets=(SECRET,)))
    rng = random.Random(1)
    dedup, types = set(), set()
    for number in range(120):
        event = compose(number, 1_767_225_600_000, rng)
        request = Request(Headers([("X-Hub-Signature-256", signature(SECRET, event.body))]), event.body)
        source.verify(request, 0)
        reading = source.read(request)
        assert reading.document["channel"]["time"] == "2026-01-01T00:00:00.000Z"
        dedup.add(reading.dedup)
        types.add(reading.type)
    assert len(dedup) == 120
    assert types == {"message.text", "event.typing", "receipt.failed"}


@asynccontextmanager
async def sender(answers: Sequence[int], clock: NoTime) -> AsyncIterator[tuple[Platform, list[bytes]]]:
    """A platform whose gateway answers with these statuses, one after the other; 0 breaks the connection."""
    came: list[bytes] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        status = answers[len(came)]
        came.append(await request.read())
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        known = "duplicate" if status == 208 else "accepted"
        return web.json_response({"status": known, "id": "id-1"}, status=200 if status == 208 else status or 200)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    # A connection for each request: one that is kept alive may be tried twice when it breaks.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Platform(f"http://127.0.0.1:{runner.addresses[0][1]}", SECRET, session, clock, random.Random(1)), came
    await runner.cleanup()


async def test_it_sends_again_five_seconds_apart_until_it_is_accepted():
    clock = NoTime()
    async with sender([503, 429, 0, 500, 200], clock) as (sends, came):
        await sends.send(0)
    assert [each.event_id for each in sends.book] == ["id-1"]
    assert len(came) == 5
    assert len(set(came)) == 1
    assert clock.slept == [5.0] * 4


async def test_after_five_retries_it_gives_up_and_says_so():
    clock = NoTime()
    async with sender([503] * 6 + [200], clock) as (sends, came):
        await sends.send(0)
    assert len(came) == 6
    assert reconcile(sends.book, {}).given_up == (sends.book[0].id,)


async def test_another_4xx_is_final():
    async with sender([401, 200], NoTime()) as (sends, came):
        await sends.send(0)
    assert len(came) == 1
    assert sends.book[0].event_id is None


async def test_a_redelivery_is_the_same_body_again_and_its_duplicate_is_counted():
    again = platform.REDELIVERED_EVERY // 3
    async with sender([200, 208], NoTime()) as (sends, came):
        await sends.send(again)
    assert came[0] == came[1]
    assert sends.duplicates == 1
    assert len(sends.book) == 1


# -- the destination


async def deliver(session: aiohttp.ClientSession, backend: Backend, webhook_id: str, kind: str = "Text") -> int | None:
    body = json.dumps({"type": kind, "id": webhook_id})
    try:
        async with session.post(backend.url, data=body, headers={"webhook-id": webhook_id}) as response:
            return response.status
    except aiohttp.ClientConnectionError:
        return None


async def test_it_has_what_it_answered_2xx_and_nothing_else():
    backend = Backend(NoTime(), random.Random(3))
    await backend.open()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        statuses = {f"id-{n}": await deliver(session, backend, f"id-{n}") for n in range(60)}
    await backend.close()
    assert set(backend.delivered) == {key for key, status in statuses.items() if status == 200}
    assert set(statuses.values()) == {200, 500, 503, None}
    assert 10 <= 60 - len(backend.delivered) <= 30


async def test_it_refuses_receipts_until_it_is_mended():
    backend = Backend(NoTime(), Reliable())
    await backend.open()
    async with aiohttp.ClientSession() as session:
        assert await deliver(session, backend, "id-1", "Receipt") == 422
        backend.mend()
        assert await deliver(session, backend, "id-1", "Receipt") == 200
    await backend.close()
    assert list(backend.delivered) == ["id-1"]


async def test_down_means_that_nobody_listens_and_up_again_is_the_same_port():
    backend = Backend(NoTime(), Reliable())
    await backend.open()
    port = backend.port
    async with aiohttp.ClientSession() as session:
        assert await deliver(session, backend, "id-1") == 200
        await backend.close()
        assert await deliver(session, backend, "id-2") is None
        await backend.open()
        # It asks for a moment first.
        assert await deliver(session, backend, "id-2") == 503
        assert await deliver(session, backend, "id-2") == 200
    await backend.close()
    assert backend.port == port


async def test_a_destination_that_forgets_what_it_took_is_found_out():
    backend = Backend(NoTime(), Reliable())
    await backend.open()
    book = [Sent(f"s-{n}", json.dumps({"type": "Text", "id": f"id-{n}"}).encode(), f"id-{n}") for n in range(3)]
    async with aiohttp.ClientSession() as session:
        for n in range(3):
            assert await deliver(session, backend, f"id-{n}") == 200
    await backend.close()
    assert report(reconcile(book, backend.delivered)).exit_status == 0
    del backend.delivered["id-1"]
    told = report(reconcile(book, backend.delivered))
    assert told.exit_status == 1
    assert told.after.missing == ("id-1",)


# -- the gateway's configuration


def test_the_configuration_is_a_good_example():
    text = gateway.configuration(18080, 18081, "http://127.0.0.1:19000/events")
    assert SECRET not in text
    read = config.parse(text, where="longstop.toml", environ={gateway.SECRET_VARIABLE: SECRET}, base=Path("/tmp"))
    assert read.warnings == ()
    assert [each.name for each in read.destinations] == [gateway.DESTINATION]
