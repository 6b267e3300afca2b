"""Alerts: the book of what was told is one document, and whoever changes it knows its version."""

from dataclasses import replace

from longstop.model.alert import Alert, Notice, Severity, Status
from longstop.model.alert_book import AlertBook, Baseline, Silence, Standing
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect, expect_equal


def full_book(version: int = 0) -> AlertBook:
    """One with something in each of its parts."""
    standing = Standing(
        "dead_letters",
        "crm",
        AT_MS,
        'it said "no" \x00 ж',
        Severity.ERROR,
        {"count": 3, "causes": ["rejected 422"]},
        frozenset({"a", "b"}),
        frozenset({"a"}),
        AT_MS + 1,
    )
    alert = Alert("backlog", "crm", "old", AT_MS, kind="backlog", subject="crm", since_ms=AT_MS - 1, facts={"n": 1})
    return AlertBook(
        version,
        AT_MS,
        {standing.key: standing},
        (Silence("*", None, AT_MS + 9, "ada", "a deployment", AT_MS), Silence("refused", "shop", 1, "ada", None, 0)),
        {"shop": Baseline(7, AT_MS, 2)},
        {"backlog.firing": AT_MS},
        (Notice("n-1", "backlog", Status.FIRING, (alert,)),),
    )


async def check_a_new_store_has_an_empty_book(store: Store) -> None:
    """Of version 0, so that the first to keep one wins."""
    expect_equal(await store.alert_book(), AlertBook(), "the book of an empty store")


async def check_a_book_comes_back_as_it_was_kept(store: Store) -> None:
    """All of its parts, with the next version."""
    expect(await store.keep_alert_book(full_book()), "the first book was refused")
    expect_equal(await store.alert_book(), full_book(version=1), "the book")


async def check_who_knows_an_old_version_changes_nothing(store: Store) -> None:
    """Two nodes that decide at once do not both tell."""
    expect(await store.keep_alert_book(full_book()), "the first book was refused")
    kept = await store.alert_book()
    silences = kept.silences[:1]
    for version in (0, 2, 99):
        late = replace(kept, version=version, silences=())
        expect(not await store.keep_alert_book(late), f"a book of version {version} was taken; the kept one is 1")
    expect_equal(await store.alert_book(), kept, "the book after books of other versions")
    expect(await store.keep_alert_book(replace(kept, silences=silences)), "the right version was refused")
    expect_equal((await store.alert_book()).version, 2, "the version")
