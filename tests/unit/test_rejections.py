"""Rejections: every refusal leaves a trace in log, counts and samples, and a stranger cannot make much of them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from services import on_virtual_time
from structlog.testing import capture_logs

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.ingest import Ingest
from longstop.accepting.rejections import BURST, LOOKS_MAX, WAITING_MAX, Rejections
from longstop.edges.senders_http.app import IngestApp, Opened
from longstop.group_commit import GroupCommit
from longstop.model.backpressure import Watermarks
from longstop.model.credentials import NOT_KEPT
from longstop.model.errors import SlowBodyError
from longstop.model.exchange import Answer
from longstop.model.ids import IdFactory
from longstop.model.listing import Page
from longstop.model.rejection import SAMPLES_KEPT, UNKNOWN, Rejection, RejectionReason
from longstop.model.routing import Router
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.sources import build, unknown_sources
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore

SHOP = SourceSettings(
    "orders",
    "generic",
    secrets=("the-right-secret",),
    verify=VerifySettings("hmac-sha256", "X-Signature"),
    max_body_bytes=100_000,
)
TIMED = SourceSettings("payments", "stripe", secrets=("another-secret",), keep_rejected_bodies=True)
KEYED = SourceSettings("keyed", "generic", secrets=("hunter2-hunter2",), verify=VerifySettings("header", "X-Shop-Key"))
NEAR = SourceSettings(
    "near", "generic", secrets=("near-secret",), verify=VerifySettings("bearer"), allow=("203.0.113.0/24",)
)
ALL = (SHOP, TIMED, KEYED, NEAR)
BODY = b'{"id": 1}'
Pairs = Sequence[tuple[str, str]]


class Site:
    """The senders' side over a store in memory: the app, and what notes refusals."""

    def __init__(self, *settings: SourceSettings, store: Any = None) -> None:
        settings = settings or ALL
        self.clock = VirtualClock()
        self.store: Any = FaultyStore(store or MemoryStore())
        self.sources = {each.name: build(each) for each in settings}
        named = {each.name: each for each in settings}
        ids = IdFactory(random.Random(1))
        self.rejections = Rejections(named, self.sources, self.store, self.clock, ids, b"salt" * 4, 86_400_000)
        pressure = Backpressure(self.clock, random.Random(1), self.store, Watermarks(max_backlog=100))
        unknown = unknown_sources(self.sources.values(), b"random")
        self.ingest = Ingest(
            self.sources,
            unknown,
            Router([], []),
            GroupCommit(self.store.append),
            self.clock,
            ids,
            pressure,
            self.rejections,
        )
        self.ingest.accepting = True
        self.app = IngestApp(self.ingest)

    async def post(
        self,
        name: str,
        headers: Pairs = (),
        body: bytes = BODY,
        *,
        path: str = "",
        method: str = "POST",
        client: str | None = "192.0.2.7",
        query: bytes = b"",
    ) -> int:
        """The status that a request is answered with."""
        length = [] if any(key == "Content-Length" for key, _ in headers) else [("Content-Length", str(len(body)))]
        raw = [(key.encode(), value.encode("latin-1")) for key, value in (*length, *headers)]
        found = self.app.begin(method, path or f"/webhooks/{name}", raw)
        if isinstance(found, Opened):
            found = await self.app.finish(found, body, client, query)
        assert isinstance(found, Answer)
        return found.status

    async def noted(self) -> list[dict[str, Any]]:
        """Look into everything and give it to the store; what the log was told."""
        with capture_logs() as logged:
            for _ in range(WAITING_MAX):
                await self.rejections.look()
            await self.rejections.flush()
        return [entry for entry in logged if entry["event"] == "refused"]

    async def samples(self, source: str) -> tuple[Rejection, ...]:
        found: tuple[Rejection, ...] = (await self.store.rejections(source, Page(1_000))).rows
        return found

    async def counts(self) -> dict[tuple[str, str], int]:
        return {(each.source, each.reason.value): each.count for each in await self.store.rejection_counts()}


def signed(settings: SourceSettings, body: bytes = BODY, **changes: Any) -> Pairs:
    return sign(replace(settings, **changes), body, VirtualClock().now_ms())


@on_virtual_time
async def test_a_wrong_secret_is_logged_counted_and_sampled() -> None:
    site = Site()
    assert await site.post("orders", signed(SHOP, secrets=("the-old-one",))) == 401
    (told,) = await site.noted()
    assert (told["source"], told["reason"], told["status"], told["client"]) == (
        "orders", "wrong_proof", 401, "192.0.2.7",
    )  # fmt: skip
    assert told["log_level"] == "warning"
    assert told["problems"][0] == "what header X-Signature proves does not fit the secret and this body"
    assert await site.counts() == {("orders", "wrong_proof"): 1}
    (sample,) = await site.samples("orders")
    assert sample.problems == tuple(told["problems"])
    assert sample.request.headers.get("X-Signature") == signed(SHOP, secrets=("the-old-one",))[0][1]
    assert (sample.request.body, sample.body_bytes, sample.body_kept) == (b"", len(BODY), False)


@on_virtual_time
async def test_what_was_counted_is_not_counted_again() -> None:
    site = Site()
    for total in (1, 2, 3):
        await site.post("orders")
        await site.noted()
        await site.noted()
        assert await site.counts() == {("orders", "no_proof"): total}


@on_virtual_time
async def test_a_large_body_is_not_looked_into() -> None:
    site = Site()
    body = b"x" * 70_000
    await site.post("orders", signed(SHOP, body + b"\n"), body)
    (told,) = await site.noted()
    assert told["problems"] == ["its proof does not fit; a body of 70000 bytes is not looked into any further"]


@on_virtual_time
async def test_what_differs_is_said() -> None:
    site = Site()
    await site.post("orders")
    await site.post("orders", [("X-Signature", "0" * 64)])
    with_newline = signed(SHOP, BODY + b"\n")
    await site.post("payments", sign(TIMED, BODY, site.clock.now_ms() - 400_000))
    (bare, wrong, late) = await site.noted()
    assert bare["problems"] == ["header X-Signature is missing"]
    assert "does not fit" in wrong["problems"][0]
    assert late["problems"] == ["the signature is right, and its time is 400 s in the past"]
    await site.clock.sleep(60)
    await site.post("orders", with_newline)
    (again,) = await site.noted()
    assert again["problems"] == ["the signature is right if a newline is added at the body's end"]


@on_virtual_time
async def test_a_mistyped_name_is_told_with_the_nearest_and_with_whose_signature_it_bears() -> None:
    site = Site()
    assert await site.post("ordres", signed(SHOP)) == 401
    assert await site.post("somewhere-else", signed(SHOP)) == 401
    (told,) = await site.noted()
    assert (told["source"], told["requests"], told["log_level"]) == (UNKNOWN, 2, "warning")
    first, second = reversed(await site.samples(UNKNOWN))
    assert (first.asked, first.nearest) == ("ordres", "orders")
    assert first.problems == ("no source has this name", "it is proven as requests to orders are")
    assert (second.asked, second.nearest, second.problems) == ("somewhere-else", None, first.problems)


@on_virtual_time
async def test_a_mistyped_path_is_told() -> None:
    site = Site()
    assert await site.post("", signed(SHOP), path="/webhook/orders") == 404
    assert await site.post("", signed(SHOP), path="/webhooks/orders/extra") == 404
    by_source = {each["source"]: each for each in await site.noted()}
    assert by_source[UNKNOWN]["nearest"] == "orders"
    assert by_source[UNKNOWN]["problems"] == ["there is nothing at /webhook/orders; senders post to /webhooks/NAME"]
    assert by_source["orders"]["problems"] == ["the source has no path /extra below its own"]
    assert await site.counts() == {(UNKNOWN, "path"): 1, ("orders", "path"): 1}


@on_virtual_time
async def test_every_refusal_is_counted() -> None:
    site = Site()
    many = [(f"X-{number}", "x") for number in range(101)]
    assert await site.post("orders", method="PUT") == 405
    assert await site.post("orders", [("Content-Length", "100001")]) == 413
    assert await site.post("orders", many) == 431
    assert isinstance(site.app.begin("POST", "/webhooks/orders", [], "1.1"), Answer)
    assert await site.post("near", [("Authorization", "Bearer near-secret")]) == 403
    opened = site.app.begin("POST", "/webhooks/orders", [(b"Content-Length", b"5")])
    assert isinstance(opened, Opened)
    site.app.refused(opened, SlowBodyError("too slow"))
    site.app.unreadable(400)
    site.ingest.accepting = False
    assert await site.post("orders", signed(SHOP)) == 503
    told = await site.noted()
    assert await site.counts() == {
        ("orders", "method"): 1,
        ("orders", "too_large"): 1,
        ("orders", "headers"): 1,
        ("orders", "length"): 1,
        ("near", "address"): 1,
        ("orders", "slow"): 1,
        (UNKNOWN, "unreadable"): 1,
        ("orders", "unavailable"): 1,
    }
    # What its sender is only to send again has lines of its own in the log.
    assert {each["reason"] for each in told} == {
        "method", "too_large", "headers", "length", "address", "slow", "unreadable",
    }  # fmt: skip
    assert all(each["problems"] for each in told)


@on_virtual_time
async def test_what_is_accepted_or_quarantined_is_no_rejection() -> None:
    site = Site()
    assert await site.post("payments", signed(TIMED, b"no json"), b"no json") in (200, 400)
    assert await site.post("orders", signed(SHOP)) == 200
    await site.noted()
    assert site.rejections.totals() == {}


@on_virtual_time
async def test_the_log_hears_at_once_and_then_once_a_minute_how_many_there_were() -> None:
    site = Site()
    told = []
    for _ in range(150):
        for _ in range(10):
            await site.post("orders", [("X-Signature", "0" * 64)])
        told += await site.noted()
        await site.clock.sleep(1)
    assert [each["requests"] for each in told] == [10, 600, 600]
    assert all("does not fit" in each["problems"][0] for each in told)


@on_virtual_time
async def test_what_was_refused_last_is_recorded_when_the_gateway_stops() -> None:
    site = Site()
    await site.post("orders")
    await site.rejections.stop()
    assert len(await site.samples("orders")) == 1
    await site.post("orders")
    site.store.fail("record_rejections")
    await site.rejections.stop()


@on_virtual_time
async def test_a_flood_is_counted_in_full_and_sampled_now_and_then() -> None:
    site = Site()
    for number in range(3_000):
        await site.post("orders", [("X-Signature", "0" * 64)])
        await site.post(f"guess-{number}")
    assert len(site.rejections._waiting) == 2 * BURST
    writes = site.store.calls.get("record_rejections", 0)
    await site.noted()
    assert site.store.calls["record_rejections"] == writes + 1
    assert await site.counts() == {("orders", "wrong_proof"): 3_000, (UNKNOWN, "unknown_source"): 3_000}
    assert (len(await site.samples("orders")), len(await site.samples(UNKNOWN))) == (BURST, BURST)
    assert len(site.rejections.totals()) == 2


@on_virtual_time
async def test_strangers_without_a_proof_do_not_push_out_the_sender_s_samples() -> None:
    site = Site()
    await site.post("orders", signed(SHOP, secrets=("old",)))
    for _ in range(SAMPLES_KEPT * 30):
        await site.post("orders")
        await site.noted()
        await site.clock.sleep(1)
    reasons = [each.reason for each in await site.samples("orders")]
    assert reasons.count(RejectionReason.WRONG_PROOF) == 1


@on_virtual_time
async def test_strangers_who_look_around_wake_nobody() -> None:
    site = Site()
    await site.post("", path="/wp-login.php")
    await site.post("xyzzy")
    assert {each["log_level"] for each in await site.noted()} == {"info"}


@on_virtual_time
async def test_no_more_than_a_few_are_looked_into_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [
        SourceSettings(f"s{n}", "generic", ("x-secret",), VerifySettings("hmac-sha1", "X-S")) for n in range(30)
    ]
    site = Site(*settings)
    for each in settings:
        await site.post(each.name, [("X-S", "00")])
    verified = 0
    for source in site.sources.values():
        before = source.verify

        def counted(*given: Any, before: Any = before) -> None:
            nonlocal verified
            verified += 1
            before(*given)

        monkeypatch.setattr(source, "verify", counted)
    await site.rejections.look()
    assert 0 < verified < LOOKS_MAX * 60
    assert len(site.rejections._waiting) == len(settings) - LOOKS_MAX
    assert len(await site.noted()) == len(settings) - LOOKS_MAX


@on_virtual_time
async def test_credentials_are_in_no_sample_and_no_line() -> None:
    site = Site()
    told = []
    shown = [
        ("keyed", [("X-Shop-Key", "another-password")], "another-password"),
        ("keyed", [("X-Key-Of-The-Shop", "hunter2-hunter2")], "hunter2-hunter2"),
        ("keyed", [("X-Plain", "is hunter2-hunter2 too")], "hunter2"),
        ("keyd", [("X-Shop-Key", "hunter2-hunter2")], "hunter2"),
        ("near", [("Authorization", "Bearer wrong-token")], "wrong-token"),
        ("orders", [("Cookie", "session=1234"), ("X-Signature", "00")], "1234"),
        ("hunter2-hunter2", [], "hunter2"),
    ]
    for name, headers, _ in shown:
        assert await site.post(name, headers, query=b"token=abcd-efgh&abcd-efgh") == 401
        told += await site.noted()
        await site.clock.sleep(60)
    await site.post("", path="/webhooks/keyed/hunter2-hunter2")
    told += await site.noted()
    samples = [each for name in (*site.sources, UNKNOWN) for each in await site.samples(name)]
    assert len(samples) == len(shown) + 1
    everything = repr(told)
    for each in samples:
        everything += f"{each!r} {each.request.path} {each.request.query} {list(each.request.headers)}\n"
    for secret in ("abcd-efgh", *(each for _, _, each in shown)):
        assert secret not in everything
    assert NOT_KEPT in everything


@on_virtual_time
async def test_bodies_are_kept_where_they_are_asked_for_and_hold_no_secret() -> None:
    site = Site()
    wrong = [("Stripe-Signature", "t=1,v1=00")]
    for body in (BODY, b'{"password": "x"}', b"with another-secret in it", b"x" * 70_000, b"\x00\xff"):
        await site.post("payments", wrong, body)
    await site.noted()
    kept = [(each.request.body, each.body_kept) for each in reversed(await site.samples("payments"))]
    assert kept == [(BODY, True), (b"", False), (b"", False), (b"", False), (b"\x00\xff", True)]


@on_virtual_time
async def test_a_store_that_is_down_loses_no_count_and_fills_no_memory() -> None:
    site = Site()
    await site.post("orders")
    site.store.fail("record_rejections", times=500)
    for number in range(500):
        for name in site.sources:
            await site.post(name, [("X-Signature", str(number))])
        await site.noted()
        await site.clock.sleep(7)
    assert len(site.rejections._samples) <= WAITING_MAX
    await site.noted()
    assert sum((await site.counts()).values()) == 1 + 500 * len(site.sources)


@on_virtual_time
async def test_a_clock_that_was_ahead_silences_nothing() -> None:
    site = Site()
    ahead = {"ms": 6 * 3_600_000}
    now_ms = site.clock.now_ms
    site.clock.now_ms = lambda: now_ms() + ahead["ms"]  # type: ignore[method-assign]
    for _ in range(2 * BURST):
        await site.post("orders")
    assert len(await site.noted()) == 1
    ahead["ms"] = 0
    await site.post("orders")
    assert len(await site.noted()) == 1
    assert len(await site.samples("orders")) == BURST + 1


@on_virtual_time
async def test_it_is_done_in_the_background_and_forgets_what_is_old() -> None:
    site = Site()
    running = asyncio.create_task(site.rejections.run())
    with capture_logs() as logged:
        await site.post("orders")
        await asyncio.sleep(0.01)
        assert [each["event"] for each in logged] == ["refused"]
    await site.clock.sleep(5)
    assert len(await site.samples("orders")) == 1
    await site.clock.sleep(86_400 + 3_700)
    assert (await site.samples("orders"), await site.counts()) == ((), {})
    running.cancel()


@on_virtual_time
async def test_what_is_old_is_forgotten_also_where_something_is_refused_all_the_time() -> None:
    site = Site()
    running = asyncio.create_task(site.rejections.run())
    await site.post("keyed")
    for _ in range(27 * 60):
        await site.post("orders")
        await site.clock.sleep(60)
    assert (await site.samples("keyed"), len(await site.samples("orders"))) == ((), SAMPLES_KEPT)
    running.cancel()


@on_virtual_time
async def test_a_clock_that_was_set_ahead_makes_nothing_forgotten_until_it_has_gone_on_for_an_hour() -> None:
    site = Site()
    ahead = {"ms": 0}
    now_ms = site.clock.now_ms
    site.clock.now_ms = lambda: now_ms() + ahead["ms"]  # type: ignore[method-assign]
    running = asyncio.create_task(site.rejections.run())
    await site.post("orders")
    await site.clock.sleep(1_800)
    ahead["ms"] = 30 * 86_400_000
    await site.clock.sleep(3_600)
    assert len(await site.samples("orders")) == 1
    await site.clock.sleep(3_600)
    assert await site.samples("orders") == ()
    running.cancel()


@on_virtual_time
async def test_nothing_that_a_stranger_sends_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    running = asyncio.create_task(site.rejections.run())
    site.store.fail("forget_rejections")
    await site.post("orders-\udc80\x00", path="/webhooks/orders-\udc80\x00/\udcff", query=b"\xff=\xff&\x00")
    monkeypatch.setattr(site.rejections._samples_of, "sample", lambda _: 1 / 0)
    await site.clock.sleep(5)
    monkeypatch.undo()
    await site.post("orders", [("X-Signature", "\xff\x00")])
    await site.clock.sleep(5)
    assert not running.done()
    assert len(await site.samples("orders")) == 1
    running.cancel()


@on_virtual_time
async def test_what_is_wrong_is_neither_told_nor_found_out_while_the_sender_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(SHOP)
    looked, verified = [], []
    monkeypatch.setattr(site.rejections._samples_of, "sample", looked.append)
    begun = site.sources["orders"].verify
    monkeypatch.setattr(site.sources["orders"], "verify", lambda *given: verified.append(given) or begun(*given))
    said = set()
    for name in ("orders", "ordres", "xyzzy"):
        opened = site.app.begin("POST", f"/webhooks/{name}", [(b"Content-Length", b"9"), (b"X-Signature", b"00")])
        assert isinstance(opened, Opened)
        answer = await site.app.finish(opened, BODY, "192.0.2.7", b"")
        said.add((answer.status, answer.body, answer.headers, len(verified)))
        verified.clear()
    assert len(said) == 1
    assert {each[3] for each in said} == {1}
    assert looked == []
    assert [each.asked for each in site.rejections._waiting] == ["orders", "ordres", "xyzzy"]
