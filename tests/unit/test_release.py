"""Held requests: a secret that was changed on one side only loses nothing, and a stranger gains little room."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from services import on_virtual_time
from structlog.testing import capture_logs
from test_rejections import BODY, Site, signed

from longstop.accepting import held_requests
from longstop.model.append import Append, initial_deliveries
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.credentials import NOT_KEPT
from longstop.model.delivery import DeadReason, State
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.fingerprint import credential, fingerprint, with_credential
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest
from longstop.model.listing import EventFilter, Page
from longstop.model.rejection import HoldSettings
from longstop.model.routing import Route, Router, Target
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.operating.audit import Auditor
from longstop.operating.release import Release, Released
from longstop.sources import build
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import make_event
from longstop.testing.clock import VirtualClock
from longstop.testing.store_contract.steps import delivered

NEW = ("the-new-secret",)
HMAC = SourceSettings(
    "orders", "generic", ("old-secret",), VerifySettings("hmac-sha256", "X-Signature"),
    dedup="id", type="type", key="customer", on_unverified="hold",
)  # fmt: skip
SCHEMES = {
    "hmac": HMAC,
    "hmac with a time": replace(HMAC, kind="slack", verify=None),
    "stripe": replace(HMAC, kind="stripe", verify=None),
    "header": replace(HMAC, verify=VerifySettings("header", "X-Shop-Key", prefix="key ")),
    "bearer": replace(HMAC, verify=VerifySettings("bearer")),
    "basic": replace(HMAC, verify=VerifySettings("basic", username="shop")),
    "pair": replace(HMAC, verify=VerifySettings("basic"), secrets=("shop:old",)),
}


def rotated(settings: SourceSettings) -> SourceSettings:
    """As the operator sets it up later: with the secret that the sender has had for a while."""
    return replace(settings, secrets=("shop:new-password",) if settings.secrets == ("shop:old",) else NEW)


def release_of(site: Site, settings: SourceSettings) -> Release:
    source = build(settings)
    router = Router([Route(source.name, ("crm",))], ordered=["crm"])
    ids = IdFactory(random.Random(3))
    auditor = Auditor(site.store, VirtualClock(), ids, Caller("ada", CallerKind.CLI, ALL_SCOPES))
    return Release(site.store, settings, source, router, VirtualClock(), IdFactory(random.Random(2)), auditor)


async def events(site: Site) -> list[Any]:
    found = await site.store.find_events(EventFilter(), Page(1_000, newest_first=False))
    return [await site.store.event(each.event.id) for each in found.rows]


async def held(site: Site) -> Sequence[Any]:
    found: Sequence[Any] = (await site.store.held_requests("orders", Page(1_000, newest_first=False))).rows
    return found


@pytest.mark.parametrize("settings", SCHEMES.values(), ids=SCHEMES)
@on_virtual_time
async def test_a_secret_that_was_changed_by_the_sender_first_loses_nothing(settings: SourceSettings) -> None:
    site = Site(settings)
    body = b'{"id": "o-1", "type": "paid", "customer": "c-1"}'
    came_ms = site.clock.now_ms()
    assert await site.post("orders", signed(rotated(settings), body), body) == 401
    assert await site.post("orders", signed(settings, body, secrets=("stranger:guess",)), body) == 401
    await site.noted()
    assert await events(site) == []
    await site.clock.sleep(2 * 86_400)
    untouched = await release_of(site, settings).run()
    assert (untouched.accepted, untouched.left) == (0, 2)
    assert untouched.problems
    tried = await release_of(site, rotated(settings)).run(dry_run=True)
    assert (tried.accepted, tried.left, len(await events(site))) == (1, 1, 0)
    done = await release_of(site, rotated(settings)).run()
    assert (done.accepted, done.left) == (1, 1)
    (kept,) = await events(site)
    assert (kept.event.body, kept.event.received_at_ms) == (body, came_ms)
    (delivery,) = kept.deliveries
    assert (delivery.state, delivery.destination) == (State.SCHEDULED, "crm")
    # Its budget has not begun while it was held.
    assert delivery.round_at_ms == site.clock.now_ms()
    if settings.kind == "generic":
        assert (kept.event.type, kept.event.key, kept.event.dedup) == ("paid", "c-1", b"o-1")
    assert len(await held(site)) == 1


@pytest.mark.parametrize("settings", SCHEMES.values(), ids=SCHEMES)
@on_virtual_time
async def test_no_credential_is_held(settings: SourceSettings) -> None:
    site = Site(settings)
    later = rotated(settings)
    await site.post("orders", [*signed(later), ("Cookie", "session=4711")], query=b"token=4711")
    await site.noted()
    (one,) = await held(site)
    told = repr(one) + repr(list(one.request.headers)) + one.request.query
    for secret in (*later.secrets, "new-password", "4711"):
        assert secret not in told
    shows = settings.verify is not None and not settings.verify.scheme.startswith("hmac-")
    assert (NOT_KEPT in [value for name, value in one.request.headers if name != "Cookie"]) == shows
    assert bool(one.fingerprint) == shows


@on_virtual_time
async def test_order_is_that_of_reception_also_before_what_came_later() -> None:
    site = Site(HMAC)
    bodies = [b'{"id": %d, "customer": "c"}' % number for number in range(5)]
    for body in bodies[:3]:
        await site.post("orders", signed(rotated(HMAC), body), body)
        await site.clock.sleep(1)
    await site.noted()
    release = release_of(site, rotated(HMAC))
    ids = IdFactory(random.Random(3))

    def make_id() -> str:
        return ids.make(site.clock.now_ms())

    for body in bodies[3:]:
        # Accepted meanwhile under the new secret, and not delivered yet.
        event = make_event(id=make_id(), source="orders", body=body, key="c")
        await site.store.append([Append(event, initial_deliveries(event, {"crm": Target(lane="orders:c")}, make_id))])
    # So late that ids of then and ids of now are no matter of chance.
    await site.clock.sleep(60)
    await release.run()
    order = []
    while claims := (await site.store.lease(LeaseRequest("w", {"crm": 9}, site.clock.now_ms(), 2**50))).claims:
        (claim,) = claims
        order.append(claim.event.body)
        await site.store.settle([delivered(claim)])
    # What was free to go when they came back may go first; behind it they go in their order, before the rest.
    assert [body for body in order if body != bodies[3]] == [*bodies[:3], bodies[4]]


@on_virtual_time
async def test_what_was_sent_again_meanwhile_is_a_duplicate() -> None:
    site = Site(HMAC)
    await site.post("orders", signed(rotated(HMAC)))
    await site.noted()
    assert await site.post("orders", signed(HMAC)) == 200
    done = await release_of(site, rotated(HMAC)).run()
    assert done == Released(duplicates=1)
    assert (len(await events(site)), len(await held(site))) == (1, 0)


@on_virtual_time
async def test_what_is_sent_again_afterwards_is_a_duplicate_for_as_long_as_ever() -> None:
    settings = replace(HMAC, dedup_window_ms=60_000)
    site = Site(settings)
    await site.post("orders", signed(rotated(settings)))
    await site.noted()
    await site.clock.sleep(3_600)
    await release_of(site, rotated(settings)).run()
    await site.clock.sleep(59)
    assert await site.post("orders", signed(settings)) == 200
    assert len(await events(site)) == 1


@on_virtual_time
async def test_proven_and_unreadable_goes_to_quarantine() -> None:
    site = Site(HMAC)
    await site.post("orders", signed(rotated(HMAC), b"{"), b"{")
    await site.noted()
    assert await release_of(site, rotated(HMAC)).run() == Released(quarantined=1)
    (kept,) = await events(site)
    assert [each.reason for each in kept.deliveries] == [DeadReason.MALFORMED]


@on_virtual_time
async def test_a_challenge_is_no_event() -> None:
    site = Site(SCHEMES["hmac with a time"])
    body = b'{"type": "url_verification", "challenge": "x", "token": "t"}'
    await site.post("orders", signed(rotated(SCHEMES["hmac with a time"]), body), body)
    await site.noted()
    assert await release_of(site, rotated(SCHEMES["hmac with a time"])).run() == Released(answered=1)
    assert (await events(site), list(await held(site))) == ([], [])


@pytest.mark.parametrize("sqlite", [False, True])
def test_a_release_that_is_broken_off_accepts_nothing_twice(sqlite: bool, tmp_path: Path) -> None:
    @on_virtual_time
    async def run() -> None:
        settings = replace(HMAC, dedup=None)
        store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False) if sqlite else None
        site = Site(settings, store=store)
        await site.store.open()
        for number in range(3):
            await site.post("orders", signed(rotated(settings), b"%d" % number), b"%d" % number)
        await site.noted()
        site.store.fail("drop_held")
        with pytest.raises(StoreUnavailableError):
            await release_of(site, rotated(settings)).run()
        assert len(await events(site)) == 3
        done = await release_of(site, rotated(settings)).run()
        assert (done.accepted, len(await events(site)), len(await held(site))) == (3, 3, 0)
        await site.store.close()

    run()


@on_virtual_time
async def test_only_what_may_be_the_sender_s_is_held() -> None:
    site = Site(replace(HMAC, allow=("192.0.2.0/24",)), replace(HMAC, name="others", on_unverified="refuse"))
    wrong = [("X-Signature", "0" * 64)]
    await site.post("orders")
    await site.post("orders", [*wrong, *wrong])
    await site.post("orders", wrong, client="198.51.100.1")
    await site.post("orders", wrong, client=None)
    await site.post("others", wrong)
    await site.post("nobody", wrong)
    await site.noted()
    assert list(await site.store.held_counts()) == []
    await site.post("orders", wrong)
    await site.noted()
    assert [each.source for each in await site.store.held_counts()] == ["orders"]


@on_virtual_time
async def test_a_stranger_with_one_address_leaves_room_for_the_sender() -> None:
    site = Site(replace(HMAC, hold=HoldSettings(max_requests=20)))
    for number in range(2_000):
        await site.post("orders", [("X-Signature", f"{number:064x}")], client=f"2001:db8::{number:x}")
    body = b'{"id": "the sender\'s"}'
    await site.post("orders", signed(rotated(HMAC), body), body)
    with capture_logs() as logged:
        await site.rejections.flush()
    assert [each for each in logged if each["event"] in ("held", "not_held")] == [
        {"event": "held", "log_level": "warning", "source": "orders", "requests": 11},
        {"event": "not_held", "log_level": "error", "source": "orders", "requests": 1_990},
    ]
    assert (await release_of(site, rotated(HMAC)).run()).accepted == 1


@on_virtual_time
async def test_what_waits_to_be_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_requests, "WAITING_BYTES_MAX", 1_000)
    site = Site(HMAC)
    for number in range(100):
        await site.post("orders", [("X-Signature", "00")], b"x" * 100, client=f"192.0.2.{number}")
    assert len(site.rejections._held._waiting) == 10
    await site.noted()
    assert len(await held(site)) == 10
    for number in range(5):
        await site.post("orders", [("X-Signature", "00")], b"x" * 100, client=f"192.0.2.{number}")
    await site.noted()
    assert len(await held(site)) == 15


@on_virtual_time
async def test_the_store_gets_it_in_pieces_between_which_events_are_appended() -> None:
    site = Site(HMAC)
    for number in range(8):
        await site.post("orders", [("X-Signature", "00")], b"x" * 400_000, client=f"192.0.2.{number}")
    await site.post("orders", [("X-Signature", "00")], b"x" * 2_000_000)
    await site.noted()
    assert len(await held(site)) == 9
    assert site.store.calls["hold"] == 5


@on_virtual_time
async def test_no_more_than_a_few_credentials_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(held_requests, "fingerprint", lambda shown, salt: hashed.append(shown) or salt + shown)
    site = Site(SCHEMES["bearer"])
    for number in range(300):
        await site.post("orders", [("Authorization", f"Bearer {number}")], client=f"192.0.2.{number % 3}")
    for _ in range(50):
        await site.post("orders", [("Authorization", "Bearer the same")], client="192.0.2.9")
    await site.noted()
    assert len(hashed) == held_requests.FINGERPRINTS_MAX
    assert len(await held(site)) == held_requests.FINGERPRINTS_MAX


@on_virtual_time
async def test_what_is_held_for_too_long_is_let_go() -> None:
    site = Site(replace(HMAC, hold=HoldSettings(max_age_ms=3_600_000)))
    await site.post("orders", signed(rotated(HMAC)))
    await site.noted()
    await site.clock.sleep(3_600)
    await site.rejections._forget()
    assert len(await held(site)) == 1
    await site.clock.sleep(1)
    await site.rejections._forget()
    assert list(await held(site)) == []


@on_virtual_time
async def test_a_store_that_is_down_holds_them_later() -> None:
    site = Site(HMAC)
    site.store.fail("hold")
    await site.post("orders", signed(rotated(HMAC)))
    await site.noted()
    assert list(await held(site)) == []
    await site.noted()
    assert len(await held(site)) == 1


@on_virtual_time
async def test_what_no_store_can_keep_is_given_up_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(HMAC)
    running = asyncio.create_task(site.rejections.run())

    async def fail(*_: Any) -> None:
        raise ValueError("no text")

    with capture_logs() as logged:
        monkeypatch.setattr(site.rejections._held._ledger, "hold", fail, raising=False)
        await site.post("orders", signed(rotated(HMAC)))
        await site.clock.sleep(10)
        monkeypatch.undo()
        await site.post("orders", signed(rotated(HMAC)))
        await site.clock.sleep(10)
    assert [each["event"] for each in logged if each["event"] != "refused"] == [
        "rejections_failed", "held", "not_held",
    ]  # fmt: skip
    assert len(await held(site)) == 1
    running.cancel()


def test_a_fingerprint_tells_one_credential_and_shows_none() -> None:
    settings = replace(SCHEMES["header"], secrets=("first", "sécond"))
    salt = b"s" * 16
    sent = Headers.from_wire([(b"x-shop-key", "key sécond".encode())])
    shown = credential(settings, sent)
    assert shown == "key sécond".encode()
    kept = fingerprint(shown, salt)
    assert shown not in kept
    blank = sent.blanked(frozenset({b"x-shop-key"}), NOT_KEPT)
    assert with_credential(settings, blank, kept) == sent
    assert with_credential(settings, blank, fingerprint(b"key third", salt)) == blank
    assert with_credential(settings, blank, b"") == blank
    build(settings).verify(Request(with_credential(settings, blank, kept), BODY), 0)
