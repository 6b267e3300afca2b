"""What there is to move besides events: each kind's rows in order, how one is known, and how it is put in.

Nothing is put in twice, however often it is tried. What is known by an id is put in where it is not there. Numbers that
are added up (statistics, counts of refused requests) are put in as what is still missing of them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longstop.model.accounts import Session, Token, User
from longstop.model.action import Pause
from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.breaker import Circuit
from longstop.model.dedup import DedupKey
from longstop.model.errors import StoreUnavailableError
from longstop.model.job import Job
from longstop.model.rejection import HeldRequest, HoldSettings, Rejection, RejectionCount
from longstop.model.statistics import RESOLUTIONS, Bucket, Series, StatisticsQuery
from longstop.operating.event_streams import pages
from longstop.ports import Store

Rows = AsyncIterator[Any]
Pairs = Sequence[tuple[Any, Any]]
LATEST_MS = 2**53
KEYS_AT_ONCE = 1_000
NO_LIMIT = HoldSettings(2**31, 2**53)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rows of a store."""

    name: str
    rows: Callable[[Store], Rows]
    """All of them, in order of their keys."""
    key: Callable[[Any], Any]
    put: Callable[[Store, "Pairs"], Awaitable[object]]
    """Into a store: rows, each with the one of its key that is there already and differs; None: there is none."""


def _each(put: Callable[[Store, Any, Any], Awaitable[object]]) -> Callable[[Store, Pairs], Awaitable[object]]:
    """For kinds whose ports take one row at a time."""

    async def put_all(store: Store, pairs: Pairs) -> None:
        for row, there in pairs:
            await put(store, row, there)

    return put_all


async def _dedup_keys(store: Store) -> AsyncIterator[DedupKey]:
    after: bytes | None = None
    while found := await store.dedup_keys(after, KEYS_AT_ONCE):
        for each in found:
            yield each
        after = found[-1].digest


async def _keep_dedup_keys(store: Store, pairs: Pairs) -> None:
    await store.keep_dedup_keys([row for row, _ in pairs])


def _jobs(store: Store) -> AsyncIterator[Job]:
    return pages(lambda page: store.find_jobs(None, page))


async def _add_job(store: Store, row: Job, there: Job | None) -> None:
    if there is None:
        await store.add_job(row)


async def _users(store: Store) -> AsyncIterator[User]:
    for each in sorted([each async for each in pages(store.users)], key=lambda user: user.key):
        yield each


async def _add_user(store: Store, row: User, _: User | None) -> None:
    await store.add_user(row)


def _tokens(store: Store) -> AsyncIterator[Token]:
    return pages(store.tokens)


async def _add_token(store: Store, row: Token, there: Token | None) -> None:
    if there is None:
        await store.add_token(row)


def _sessions(store: Store) -> AsyncIterator[Session]:
    return pages(lambda page: store.sessions(None, page))


async def _add_session(store: Store, row: Session, there: Session | None) -> None:
    if there is None:
        await store.add_session(row)


def _audit(store: Store) -> AsyncIterator[AuditEntry]:
    return pages(lambda page: store.audit(AuditFilter(), page))


async def _note(store: Store, pairs: Pairs) -> None:
    await store.note([row for row, _ in pairs])


async def _statistics(store: Store) -> AsyncIterator[Bucket]:
    for kept in RESOLUTIONS:
        for series in Series:
            wanted = StatisticsQuery(
                series.value, kept.step_ms, 0, LATEST_MS, kept.step_ms, by_source=True, by_destination=True
            )
            for each in sorted(await store.statistics(wanted), key=_bucket_key):
                yield each


def _bucket_key(row: Bucket) -> tuple[int, int, int, str, str]:
    steps, series = [each.step_ms for each in RESOLUTIONS], [each.value for each in Series]
    return steps.index(row.step_ms), series.index(row.series), row.at_ms, row.source, row.destination


async def _add_statistics(store: Store, pairs: Pairs) -> None:
    missing = [row if there is None else _missing(row, there) for row, there in pairs]
    await store.add_statistics([each for each in missing if each.n])


def _missing(row: Bucket, there: Bucket) -> Bucket:
    bins = tuple(max(0, mine - theirs) for mine, theirs in zip(row.bins, there.bins, strict=True))
    return replace(row, n=max(0, row.n - there.n), bins=bins)


async def _counts(store: Store) -> AsyncIterator[RejectionCount]:
    for each in sorted(await store.rejection_counts(), key=_count_key):
        yield each


def _count_key(row: RejectionCount) -> tuple[str, str]:
    return row.source, row.reason.value


async def _add_count(store: Store, row: RejectionCount, there: RejectionCount | None) -> None:
    missing = row.count - (there.count if there is not None else 0)
    await store.record_rejections([replace(row, count=max(0, missing))], [])


async def _samples(store: Store) -> AsyncIterator[Rejection]:
    for source in sorted({each.source for each in await store.rejection_counts()}):
        async for each in _of_source(store.rejections, source):
            yield each


def _of_source(ask: Callable[..., Awaitable[Any]], source: str) -> Rows:
    return pages(lambda page: ask(source, page))


async def _keep_sample(store: Store, row: Rejection, _: Rejection | None) -> None:
    await store.record_rejections([], [row])


async def _held(store: Store) -> AsyncIterator[HeldRequest]:
    for source in sorted(each.source for each in await store.held_counts()):
        async for each in _of_source(store.held_requests, source):
            yield each


async def _hold(store: Store, row: HeldRequest, there: HeldRequest | None) -> None:
    if there is None and not all(await store.hold([row], {row.source: NO_LIMIT})):
        found = f"the held request {row.id} of {row.source} has {row.size} bytes"
        raise StoreUnavailableError(f"{found}, which the new store does not hold; release it, or let it expire")


def _of_source_by_id(row: Rejection | HeldRequest) -> tuple[str, str]:
    return row.source, row.id


async def _pauses(store: Store) -> AsyncIterator[Pause]:
    for each in sorted(await store.pauses(), key=_destination):
        yield each


async def _pause(store: Store, row: Pause, _: Pause | None) -> None:
    await store.pause(row)


async def _circuits(store: Store) -> AsyncIterator[Circuit]:
    for each in sorted(await store.circuits(), key=_destination):
        yield each


async def _open(store: Store, row: Circuit, there: Circuit | None) -> None:
    if there is None:
        await store.change_circuit(row.destination, 0, row)


def _destination(row: Pause | Circuit) -> str:
    return row.destination


async def _book(store: Store) -> AsyncIterator[bytes | str]:
    book = await store.alert_book()
    if book.version:
        yield book.dumped()


async def _keep_book(store: Store, row: Any, _: Any) -> None:
    book = await store.alert_book()
    if book.version == 0:
        await store.keep_alert_book(type(book).loaded(0, row))


async def _lived(store: Store) -> AsyncIterator[int]:
    lived_ms = await store.lived_until()
    if lived_ms is not None:
        yield lived_ms


async def _live(store: Store, row: int, _: int | None) -> None:
    await store.live_until(row)


def _id(row: Any) -> str:
    return str(row.id)


def _only(_: object) -> str:
    return ""


KINDS = (
    Kind("dedup keys", _dedup_keys, lambda row: row.digest, _keep_dedup_keys),
    Kind("pauses", _pauses, _destination, _each(_pause)),
    Kind("circuits", _circuits, _destination, _each(_open)),
    Kind("jobs", _jobs, _id, _each(_add_job)),
    Kind("held requests", _held, _of_source_by_id, _each(_hold)),
    Kind("refused requests", _counts, _count_key, _each(_add_count)),
    Kind("samples of refused requests", _samples, _of_source_by_id, _each(_keep_sample)),
    Kind("users", _users, lambda row: row.key, _each(_add_user)),
    Kind("tokens", _tokens, _id, _each(_add_token)),
    Kind("sessions", _sessions, _id, _each(_add_session)),
    Kind("audit entries", _audit, _id, _note),
    Kind("statistics", _statistics, _bucket_key, _add_statistics),
    Kind("alert book", _book, _only, _each(_keep_book)),
    Kind("time lived through", _lived, _only, _each(_live)),
)
"""In the order in which they are moved. Processes (nodes) stay where they run, and so do answers kept for an
Idempotency-Key, which are of no use a day later."""
