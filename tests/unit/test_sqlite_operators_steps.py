"""What the operators' side asks of its own tables costs the same for a small one and for one four times as large.

Statistics, jobs, the audit log, accounts, refused requests, requests with a key, and what happened lately: counted in
SQLite's steps, as test_sqlite_steps.py does for the ledger.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlite_steps import steps_counted

from longstop.model.audit import AuditAction, AuditFilter
from longstop.model.ids import format_uuid7
from longstop.model.job import JobState
from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.model.listing import Page
from longstop.model.rejection import HoldSettings
from longstop.model.statistics import BINS, MINUTES, Bucket, StatisticsQuery
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.accounts import make_session, make_token, make_user
from longstop.testing.store_contract.alerts import full_book
from longstop.testing.store_contract.audit import make_entry
from longstop.testing.store_contract.held_requests import make_held
from longstop.testing.store_contract.jobs import job_id, make_job
from longstop.testing.store_contract.rejections import make_rejection

MANY = 200
TIMES = 4
SLACK_STEPS = 300
START_MS = MINUTES.start(AT_MS)
DAY_MS = 86_400_000
HOUR = 60
ACTIONS = (AuditAction.LOGIN, AuditAction.BODY_READ, AuditAction.DELIVERY_REPLAY)

DONE = """
    INSERT INTO attempts (delivery_id, number, round, started_at_ms, duration_ms, outcome, answer)
        SELECT id, 1, 1, received_at_ms, 5, 'success', x'' FROM deliveries;
    INSERT INTO actions (delivery_id, "trigger", at_ms, "by")
        SELECT id, 'replay', received_at_ms, 'ann' FROM deliveries;
"""


async def fill(store: SqliteStore, many: int) -> None:
    """So many rows in each table; of statistics so many minutes."""
    bins = (1,) * BINS
    for start in range(0, many, HOUR):
        at = [START_MS + minute * 60_000 for minute in range(start, min(start + HOUR, many))]
        await store.add_statistics([Bucket(60_000, at_ms, "latency", "shop", "crm", BINS, bins) for at_ms in at])
        await store.add_statistics([Bucket(60_000, at_ms, "dead", "shop", "crm", 3) for at_ms in at])
    await store.add_statistics([Bucket(60_000, at_ms, "accepted", "shop", "", 3) for at_ms in at])
    for number in range(many // 20):
        await store.add_statistics([Bucket(60_000, at_ms, "accepted", f"shop-{number}", "", 3) for at_ms in at])
    for number in range(many):
        over = {"state": JobState.DONE, "state_at_ms": AT_MS + number} if number >= 2 else {}
        await store.add_job(make_job(number, **over))
        await store.add_user(make_user(f"user-{number:05}"))
        named = {"id": format_uuid7(AT_MS + number, number), "digest": b"d" * 32}
        await store.add_token(make_token(1, **named))
        await store.add_session(
            make_session(1, "few" if number < 3 else f"user-{number % 20:05}", **named, expires_at_ms=AT_MS + DAY_MS)
        )
        keyed = KeyedRequest("ann", f"key-{number}", b"print", AT_MS, AT_MS + DAY_MS)
        await store.begin_keyed(keyed)
        if number % 20 == 0:
            await store.record_rejections([], [make_rejection(number + each, f"source-{number}") for each in range(20)])
    await store.note([make_entry(number, f"user-{number % 5}", ACTIONS[number % 3]) for number in range(many)])
    others = (("user-0", AuditAction.PURGE), ("purger", AuditAction.SETTINGS_READ))
    await store.note([make_entry(many + number, *others[number % 2]) for number in range(many)])
    await store.hold([make_held(number) for number in range(many)], {"shop": HoldSettings()})
    await store.append([make_append(number + 1, received_at_ms=AT_MS + number * 1_000) for number in range(many)])
    await store._writer.call(lambda connection: connection.execute(DONE))
    await store.keep_alert_book(full_book())


Question = tuple[str, Callable[[], Awaitable[Any]]]


def questions(store: SqliteStore, many: int) -> Iterator[Question]:
    """What is asked, and how. What changes something comes last."""
    few, middle = Page(10), Page(10, job_id(many // 2))
    hour = StatisticsQuery("dead", 60_000, START_MS, START_MS + HOUR * 60_000, 60_000)
    by_name = {"by_source": True, "by_destination": True}
    yield "statistics: counts", lambda: store.statistics(hour)
    yield "statistics: latency", lambda: store.statistics(replace(hour, series="latency"))
    yield "statistics: latency, by name", lambda: store.statistics(replace(hour, series="latency", **by_name))
    yield "statistics: of a destination", lambda: store.statistics(replace(hour, destination="crm"))
    late = replace(hour, series="accepted", from_ms=0, until_ms=2**50, source="shop")
    yield "statistics: of one source of many", lambda: store.statistics(late)
    yield "jobs", lambda: store.find_jobs(None, few)
    yield "jobs: from the middle on", lambda: store.find_jobs(None, middle)
    yield "jobs: running", lambda: store.find_jobs(JobState.RUNNING, few)
    yield "job", lambda: store.job(job_id(many // 2))
    yield "jobs: how deliveries stand", lambda: store.released([job_id(number) for number in range(10)])
    yield from _audit_questions(store, many)
    yield "users", lambda: store.users(Page(10, "user-00010", newest_first=False))
    yield "user", lambda: store.user("user-00007")
    yield "tokens", lambda: store.tokens(few)
    yield "token", lambda: store.token(format_uuid7(AT_MS + 5, 5))
    yield "sessions", lambda: store.sessions(None, few)
    yield "sessions: of somebody", lambda: store.sessions("few", Page(5))
    yield "session", lambda: store.session(format_uuid7(AT_MS + 5, 5))
    yield "refused requests", lambda: store.rejections("source-20", few)
    yield "held requests", lambda: store.held_requests("shop", few)
    yield "alerts", store.alert_book
    yield "what happened lately", lambda: store.recent(AT_MS + (many - 10) * 1_000, 100)
    yield "a request with a key, once more", lambda: _keyed(store, "key-7")
    yield "a request with a new key", lambda: _keyed(store, "key-new")
    yield "lease a job", lambda: store.lease_jobs("w", AT_MS, AT_MS + 1, 5)
    yield "forget statistics", lambda: store.forget_statistics(60_000, AT_MS + DAY_MS, 10)
    yield "forget jobs", lambda: store.forget_jobs(AT_MS + 10)
    yield "forget audit", lambda: store.forget_audit(AT_MS + DAY_MS, 10)
    yield "forget sessions", lambda: store.forget_sessions(AT_MS, AT_MS - 1)


def _audit_questions(store: SqliteStore, many: int) -> Iterator[Question]:
    asked = {
        "all": AuditFilter(),
        "by": AuditFilter("user-3"),
        "by nobody": AuditFilter("nobody"),
        "action": AuditFilter(action=AuditAction.LOGIN),
        "action that is not there": AuditFilter(action=AuditAction.LOGOUT),
        "by and action": AuditFilter("user-3", AuditAction.LOGIN),
        "by and action that he never did": AuditFilter("user-3", AuditAction.PURGE),
        "action that he never did, by": AuditFilter("purger", AuditAction.LOGIN),
        "since and until": AuditFilter(since_ms=AT_MS + 50, until_ms=AT_MS + 100),
        "by, since and until": AuditFilter("user-3", since_ms=AT_MS + 50, until_ms=AT_MS + 100),
    }
    for said, wanted in asked.items():
        yield f"audit: {said}", lambda wanted=wanted: store.audit(wanted, Page(10))
    after = format_uuid7(AT_MS + many // 2, 0)
    yield "audit: from the middle on", lambda: store.audit(AuditFilter(), Page(10, after))
    all_times = AuditFilter(since_ms=AT_MS - DAY_MS, until_ms=AT_MS + DAY_MS)
    for newest_first in (True, False):
        page = Page(10, after, newest_first)
        yield (
            f"audit: of a time, from the middle on, newest first: {newest_first}",
            lambda page=page: store.audit(all_times, page),
        )


async def _keyed(store: SqliteStore, key: str) -> None:
    request = KeyedRequest("ann", key, b"print", AT_MS, AT_MS + DAY_MS)
    if await store.begin_keyed(request) is None:
        await store.answer_keyed(request, KeptAnswer(200, b"{}"))
        await store.drop_keyed(request)


async def costs(path: Path, many: int) -> dict[str, int]:
    """The steps of each question."""
    found: dict[str, int] = {}
    with steps_counted() as taken:
        store = SqliteStore(path, watch_s=None)
        await store.open()
        try:
            await fill(store, many)
            for said, ask in questions(store, many):
                before = taken()
                await ask()
                found[said] = taken() - before
        finally:
            await store.close()
    return found


def test_no_question_of_the_operators_side_costs_more_for_a_larger_table(tmp_path: Path) -> None:
    small, large = (asyncio.run(costs(tmp_path / f"{many}.db", many)) for many in (MANY, MANY * TIMES))
    assert len(small) > 30
    assert all(steps > 0 for steps in small.values()), "the steps are counted"
    grown = {said: (small[said], steps) for said, steps in large.items() if steps > 1.5 * small[said] + SLACK_STEPS}
    assert grown == {}
