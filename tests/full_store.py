"""A store with one of everything in it at least: what a move, an export or an upgrade must not leave behind."""

from dataclasses import replace

from longstop.model.accounts import Role, Scope, Session, Token, User
from longstop.model.action import Edit, Pause
from longstop.model.alert_book import AlertBook
from longstop.model.audit import AuditAction, AuditEntry, Target
from longstop.model.breaker import Circuit
from longstop.model.caller import CallerKind
from longstop.model.delivery import State
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.job import Job, JobAction
from longstop.model.listing import DeliveryFilter
from longstop.model.rejection import HeldRequest, HoldSettings, Rejection, RejectionCount, RejectionReason
from longstop.model.retention import Cutoffs
from longstop.model.statistics import BINS, Bucket, Series
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.steps import delivered, lease, ordered_append, parked, replay, settled, to_retry

NUMBER = 12
"""How many events have a dedup key; four more have none."""


def request(number: int) -> Request:
    return Request(Headers([("X-Number", str(number))]), b"\x00%d" % number, "POST", "192.0.2.1", "/webhooks/shop", "")


async def fill(store: Store) -> None:
    """One of everything at least, and of events more than a batch."""
    await store.append([make_append(n, dedup=b"k%d" % n, received_at_ms=AT_MS + n) for n in range(1, NUMBER + 1)])
    await store.append([make_append(30, to=()), make_quarantined(31), ordered_append(32, "a"), ordered_append(33, "a")])
    claims = (await lease(store, AT_MS + 50)).claims
    await settled(store, delivered(claims[0]))
    await settled(store, parked(claims[1]))
    dead = await settled(store, parked(claims[2]))
    await settled(store, to_retry(claims[3], AT_MS + 9_000))
    await store.act([replay(dead.id)])
    await store.forget([event_id(1)], Cutoffs(*[AT_MS + 10**9] * 4))
    edit = Edit(event_id(40), event_id(2), AT_MS, "ada", "a typo")
    await store.replace(make_append(40, parent=event_id(2)), edit, [claims[1].delivery.id])
    await store.pause(Pause("lake", AT_MS, "ada", "repairs"))
    circuit = Circuit("crm", AT_MS, AT_MS + 5, 100, "it answers 503", version=1)
    assert await store.change_circuit("crm", 0, circuit)
    await store.add_job(
        Job(event_id(50), JobAction.REPLAY, DeliveryFilter(state=State.DEAD), "ada", AT_MS, event_id(49))
    )
    await fill_people(store)
    await fill_numbers(store)


async def fill_people(store: Store) -> None:
    await store.add_user(User("Ada", Role.ADMIN, "$argon2id$x", "stamp", AT_MS, "cli", AT_MS, "sub-1"))
    await store.add_token(Token(event_id(60), "ci", b"d" * 32, frozenset({Scope.VIEW}), AT_MS, "ada"))
    await store.add_session(Session(event_id(61), b"s" * 32, "ada", "stamp", AT_MS, AT_MS, AT_MS + 10**6))
    by = ("ada", CallerKind.CLI, AuditAction.PURGE, Target("store", "events"))
    await store.note([AuditEntry(event_id(n), AT_MS, *by, details={"n": str(n)}) for n in (70, 71)])
    assert await store.keep_alert_book(replace(AlertBook(), began_at_ms=AT_MS, last_told={"backlog": AT_MS}))


async def fill_numbers(store: Store) -> None:
    await store.record_rejections(
        [RejectionCount("shop", RejectionReason.NO_PROOF, 7, AT_MS, AT_MS + 9)],
        [Rejection(event_id(80), "shop", AT_MS, RejectionReason.NO_PROOF, 401, ("none",), request(1), 2)],
    )
    held = HeldRequest(event_id(81), "shop", AT_MS, request(2), "192.0.2.1", b"f")
    assert await store.hold([held], {"shop": HoldSettings()}) == [True]
    bins = (0,) * (BINS - 2) + (2, 1)
    minute = 60_000
    await store.add_statistics([
        Bucket(minute, AT_MS, Series.ACCEPTED.value, "shop", "", 5),
        Bucket(minute, AT_MS + minute, Series.LATENCY.value, "shop", "crm", 3, bins),
        Bucket(3_600_000, AT_MS, Series.DELIVERED.value, "shop", "crm", 3),
    ])  # fmt: skip
    await store.live_until(AT_MS + 77)
