"""What operators keep on AWS: answers that are lost, kills between two transactions, processes that meet."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from longstop.model.alert import Severity
from longstop.model.alert_book import PARTS_MAX, STANDING_MAX, AlertBook, Standing
from longstop.model.audit import AuditFilter
from longstop.model.delivery import State
from longstop.model.errors import StoreUnavailableError, UnreadableRowError
from longstop.model.job import WRITES_MAX, Job, JobAction, JobChange, JobState, JobTrigger
from longstop.model.listing import Page
from longstop.model.rejection import SAMPLES_KEPT, HoldSettings
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract import accounts, audit, held_requests, jobs, keyed_requests, nodes, rejections
from longstop.testing.store_contract import statistics as numbers
from longstop.testing.store_contract.steps import discard, in_lane, standing

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory
from longstop.stores.aws.dynamodb import ContentionError
from longstop.stores.aws.large_bodies import ITEM_BODY_MAX

ALL = Page(1_000, newest_first=False)
ROOM = {"shop": HoldSettings()}
USER = accounts.make_user()


async def users_alike(store: StoreInMemory) -> Any:
    await store.add_user(USER)
    return await store.change_user(replace(USER, stamp="stamp-2"), "stamp-1")


async def counted(store: StoreInMemory) -> Any:
    await store.record_rejections([rejections.counted(3, 1, 2)], [rejections.make_rejection(1)])
    return [each.count for each in await store.rejection_counts()]


async def held(store: StoreInMemory) -> Any:
    await store.hold([held_requests.make_held(1)], ROOM)
    return [(each.requests, each.bytes) for each in await store.held_counts()]


async def noted(store: StoreInMemory) -> Any:
    await store.note([audit.make_entry(1)])
    return len((await store.audit(AuditFilter(), ALL)).rows)


async def paused(store: StoreInMemory) -> Any:
    await store.add_job(jobs.make_job())
    (job,) = await store.lease_jobs("w", jobs.NOW_MS, jobs.UNTIL_MS, 1)
    changed = await store.change_job(JobChange(job.id, JobTrigger.PAUSE, jobs.NOW_MS, "ada"))
    return job.token, changed and changed.state


@pytest.mark.parametrize(
    ("done", "result"),
    [
        (lambda store: store.add_user(USER), True),
        (users_alike, True),
        (lambda store: store.begin_keyed(keyed_requests.REQUEST), None),
        (lambda store: store.keep_alert_book(AlertBook()), True),
        (counted, [3]),
        (held, [(1, 10)]),
        (noted, 1),
        (paused, (1, JobState.PAUSED)),
    ],
)
@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_what_was_done_and_not_answered_is_not_done_again(
    done: Callable[[StoreInMemory], Awaitable[Any]], result: Any, lost: int
) -> None:
    def lose(number: int) -> None:
        if number == lost:
            raise ContentionError

    table = TableInMemory()
    table.after_transaction = lose
    assert await done(StoreInMemory(table)) == result


async def test_of_those_who_ask_for_the_very_same_one_has_it() -> None:
    table = TableInMemory()
    stores = [StoreInMemory(table) for _ in range(5)]
    assert sorted(await asyncio.gather(*(each.add_user(USER) for each in stores))) == [False] * 4 + [True]
    found = await asyncio.gather(*(each.begin_keyed(keyed_requests.REQUEST) for each in stores))
    assert found.count(None) == 1


# -- steps of jobs --------------------------------------------------------------------------------


class KilledError(Exception):
    """A process is gone."""


async def _a_step(store: StoreInMemory) -> tuple[Job, list[Any]]:
    """A job of as many as a step may decide on, a few lanes of them."""
    appends = [in_lane(make_append(n, key=f"key {n}"), f"lane {n % 7}") for n in range(1, WRITES_MAX + 1)]
    await store.append(appends)
    await store.add_job(jobs.make_job(action=JobAction.DISCARD))
    (job,) = await store.lease_jobs("worker-1", jobs.NOW_MS, jobs.UNTIL_MS, 1)
    return job, [each.deliveries[0] for each in appends]


def _step(job: Job, deliveries: list[Any]) -> Any:
    left = [each for each in deliveries if each.id > job.places["crm"]]
    decisions = [jobs.make_decision(each, action=discard(each.id)) for each in left]
    return jobs.make_step(job, decisions, places={})


@pytest.mark.parametrize("killed", [1, 2])
async def test_who_goes_on_with_a_step_that_was_cut_decides_on_the_rest(killed: int) -> None:
    store = StoreInMemory()
    job, deliveries = await _a_step(store)
    before = len(store.table.transactions)

    def kill(number: int) -> None:
        if number == before + killed:
            raise KilledError

    store.table.after_transaction = kill
    with pytest.raises(KilledError):
        await store.advance_job(_step(job, deliveries))
    (again,) = await store.lease_jobs("worker-2", jobs.UNTIL_MS, jobs.UNTIL_MS + 1, 1)
    assert 0 < again.done < WRITES_MAX
    assert await store.advance_job(_step(job, deliveries)) is None
    after = await store.advance_job(_step(again, deliveries))
    assert after is not None
    assert (after.state, after.done, after.skipped) == (JobState.DONE, WRITES_MAX, 0)
    assert {(await standing(store, each.id)).state for each in deliveries} == {State.DISCARDED}
    assert {len((await store.history(each.id)).actions) for each in deliveries} == {1}


async def test_a_part_of_a_step_whose_answer_was_lost_is_counted_once() -> None:
    store = StoreInMemory()
    job, deliveries = await _a_step(store)
    before = len(store.table.transactions)

    def lose(number: int) -> None:
        if number == before + 2:
            raise ContentionError

    store.table.after_transaction = lose
    after = await store.advance_job(_step(job, deliveries))
    assert after is not None
    assert (after.state, after.done, after.skipped) == (JobState.DONE, WRITES_MAX, 0)


# -- processes that meet --------------------------------------------------------------------------


async def test_what_processes_add_at_the_same_time_adds_up() -> None:
    table = TableInMemory()
    stores = [StoreInMemory(table) for _ in range(6)]
    await asyncio.gather(*(each.add_statistics([numbers.bucket(n % 3, 1) for n in range(9)]) for each in stores))
    assert [each.n for each in await stores[0].statistics(numbers.ALL)] == [54]
    samples = [[rejections.make_rejection(n * 6 + place) for n in range(9)] for place in range(6)]
    recorded = zip(stores, samples, strict=True)
    await asyncio.gather(*(each.record_rejections([rejections.counted(1, 1, 2)], some) for each, some in recorded))
    assert [each.count for each in await stores[0].rejection_counts()] == [6]
    kept = (await stores[0].rejections("shop", ALL)).rows
    assert kept == tuple(sorted((each for some in samples for each in some), key=lambda each: each.id)[-SAMPLES_KEPT:])


async def test_no_more_is_held_than_there_is_room_for_and_nothing_is_left_of_it() -> None:
    table = TableInMemory()
    stores = [StoreInMemory(table) for _ in range(4)]
    limits = {"shop": HoldSettings(max_requests=10)}
    requests = [[held_requests.make_held(place * 9 + n) for n in range(5)] for place in range(4)]
    taken = await asyncio.gather(*(each.hold(some, limits) for each, some in zip(stores, requests, strict=True)))
    assert sum(map(sum, taken)) == 10
    ids = [each.id for each in (await stores[0].held_requests("shop", ALL)).rows]
    assert sum(await asyncio.gather(*(each.drop_held("shop", ids) for each in stores))) == 10
    assert table.items == {}


async def test_a_body_that_no_item_holds_has_no_room_and_one_beside_it_has() -> None:
    store = StoreInMemory()
    bodies = [b"x" * (ITEM_BODY_MAX + 1), b"y" * ITEM_BODY_MAX]
    assert await store.hold([held_requests.make_held(n, body) for n, body in enumerate(bodies)], ROOM) == [False, True]
    (kept,) = (await store.held_requests("shop", ALL)).rows
    assert kept.request.body == bodies[1]


async def test_who_is_heard_of_while_he_is_being_forgotten_stays() -> None:
    store = StoreInMemory()
    await store.beat(nodes.ONE)
    late = replace(nodes.TWO, seen_at_ms=AT_MS + 10**9)
    query = store.table.query

    async def meanwhile(*args: Any, **given: Any) -> Any:
        found = await query(*args, **given)
        store.table.query = query  # type: ignore[method-assign]
        await store._change(("nodes", nodes.ONE.name), lambda item: (item or {}) | {"expires": f"{10**14:015}#x"})
        return found

    store.table.query = meanwhile  # type: ignore[method-assign]
    await store.beat(late)
    assert [each.name for each in await store.nodes()] == [late.name, nodes.ONE.name]


# -- what an item holds ---------------------------------------------------------------------------


async def test_a_book_with_everything_wrong_fits_into_an_item() -> None:
    rng = random.Random(1)
    parts = frozenset(f"rejected {n}: the order number is not known to us" for n in range(PARTS_MAX))
    about = ("it is dead", Severity.ERROR, {}, parts)
    wrong = [Standing("dead_letters", f"to-{n}-{rng.random()}", AT_MS, *about) for n in range(STANDING_MAX)]
    book = AlertBook(standing={each.key: each for each in wrong})
    store = StoreInMemory()
    assert await store.keep_alert_book(book)
    assert (await store.alert_book()).standing == book.standing


async def test_a_record_that_cannot_be_read_is_in_no_list_and_is_told() -> None:
    store = StoreInMemory()
    for number in (1, 2):
        await store.add_token(accounts.make_token(number))
    broken = accounts.make_token(1).id
    store.table.items["tokens", broken]["row"] = b"{}"
    with capture_logs() as told:
        assert (await store.tokens(ALL)).rows == (accounts.make_token(2),)
    assert [each["row"] for each in told] == [f"tokens/{broken}"]
    with pytest.raises(UnreadableRowError, match=broken):
        await store.token(broken)
    assert issubclass(UnreadableRowError, StoreUnavailableError)
