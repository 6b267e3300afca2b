"""Rejections: how many requests were refused and why, and the last few of each source."""

from dataclasses import replace
from typing import Any

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.listing import Page
from longstop.model.rejection import SAMPLES_KEPT, UNKNOWN, Rejection, RejectionCount, RejectionReason
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id
from longstop.testing.store_contract.check import expect_equal

WRONG, NONE = RejectionReason.WRONG_PROOF, RejectionReason.NO_PROOF


def make_rejection(number: int, source: str = "shop", **changes: Any) -> Rejection:
    """A sample of a wrong signature; `changes` are fields of Rejection."""
    request = Request(
        Headers([("X-Signature", "sha256=00"), ("X-Name", "\xe9")]),
        b"\x00\xffbody",
        "POST",
        "192.0.2.7",
        "/below",
        "a=1",
    )
    made = Rejection(
        event_id(number), source, AT_MS + number, WRONG, 401, ("it does not fit", "nor that"), request, 4711, True
    )
    return replace(made, **changes)


def counted(count: int, first: int, last: int, source: str = "shop", reason: RejectionReason = WRONG) -> RejectionCount:
    """So many refused requests, between two times after AT_MS."""
    return RejectionCount(source, reason, count, AT_MS + first, AT_MS + last)


async def check_nothing_was_refused(store: Store) -> None:
    """An empty store has no counts and no samples."""
    expect_equal(list(await store.rejection_counts()), [], "counts")
    expect_equal((await store.rejections("shop", Page())).rows, (), "samples")
    expect_equal(await store.forget_rejections(AT_MS), 0, "how many were forgotten")


async def check_counts_add_up(store: Store) -> None:
    """What is recorded is added to what was; the first time and the last are those of all."""
    await store.record_rejections([counted(3, 10, 20), counted(1, 5, 5, reason=NONE)], [])
    await store.record_rejections([counted(4, 15, 40), counted(2, 1, 2, UNKNOWN, RejectionReason.UNKNOWN_SOURCE)], [])
    await store.record_rejections([counted(1, 2, 3)], [])
    unknown = counted(2, 1, 2, UNKNOWN, RejectionReason.UNKNOWN_SOURCE)
    expected = {unknown, counted(8, 2, 40), counted(1, 5, 5, reason=NONE)}
    expect_equal(set(await store.rejection_counts()), expected, "counts")


async def check_a_sample_is_kept_whole(store: Store) -> None:
    """Every field of a sample comes back, bytes as they were."""
    whole = make_rejection(1)
    bare = make_rejection(
        2, UNKNOWN, problems=(), request=Request(Headers(), b"", "PUT"), body_bytes=0, body_kept=False
    )
    named = make_rejection(3, UNKNOWN, asked="shpo", nearest="shop", reason=RejectionReason.UNKNOWN_SOURCE)
    await store.record_rejections([], [whole, bare, named])
    expect_equal((await store.rejections("shop", Page())).rows, (whole,), "the sample of shop")
    expect_equal((await store.rejections(UNKNOWN, Page())).rows, (named, bare), "samples of unknown names")


async def check_the_last_few_of_each_source_are_kept(store: Store) -> None:
    """However many come of one source, its last ones are kept, and those of others with them."""
    quiet = make_rejection(1, "quiet")
    await store.record_rejections([], [quiet])
    many = [make_rejection(number) for number in range(2, 2 * SAMPLES_KEPT + 5)]
    await store.record_rejections([], many[:7])
    await store.record_rejections([], many[7:])
    kept = (await store.rejections("shop", Page(limit=100))).rows
    expect_equal(kept, tuple(reversed(many))[:SAMPLES_KEPT], "samples of a source that many came of")
    expect_equal((await store.rejections("quiet", Page())).rows, (quiet,), "the sample of the other source")


async def check_a_sample_that_comes_again_is_one(store: Store) -> None:
    """A batch that is recorded a second time, because nobody knows whether the first time was done, adds no sample."""
    for _ in range(2):
        await store.record_rejections([], [make_rejection(1)])
    expect_equal((await store.rejections("shop", Page())).rows, (make_rejection(1),), "samples")


async def check_paging(store: Store) -> None:
    """Pages follow each other without a gap and without a repetition, either way."""
    many = [make_rejection(number) for number in range(1, 6)]
    await store.record_rejections([], many)
    for newest_first, ordered in ((True, many[::-1]), (False, many)):
        first = await store.rejections("shop", Page(2, newest_first=newest_first))
        second = await store.rejections("shop", Page(3, first.next_after, newest_first))
        expect_equal([*first.rows, *second.rows], ordered, "samples on two pages")
        expect_equal(second.next_after, None, "what follows the last page")


async def check_forgetting(store: Store) -> None:
    """Samples from before a time go, and counts whose last is from before it; what is from that very time stays."""
    await store.record_rejections(
        [counted(5, 0, 9), counted(1, 0, 10, reason=NONE)], [make_rejection(9), make_rejection(10)]
    )
    expect_equal(await store.forget_rejections(AT_MS + 10), 1, "samples that were forgotten")
    expect_equal([each.at_ms for each in (await store.rejections("shop", Page())).rows], [AT_MS + 10], "samples left")
    expect_equal(list(await store.rejection_counts()), [counted(1, 0, 10, reason=NONE)], "counts left")
