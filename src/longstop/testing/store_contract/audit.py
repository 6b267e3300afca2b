"""The audit log: every entry as it was noted, pages by who, what and when; none is ever changed."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from longstop.model.audit import AuditAction, AuditEntry, AuditFilter, Target
from longstop.model.caller import CallerKind
from longstop.model.ids import format_uuid7
from longstop.model.listing import Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect_equal

REPLAY, READ = AuditAction.DELIVERY_REPLAY, AuditAction.BODY_READ


def make_entry(number: int, by: str = "ada", action: AuditAction = REPLAY, **changes: Any) -> AuditEntry:
    """An entry of so many milliseconds after AT_MS; `changes` are fields of AuditEntry."""
    at_ms = AT_MS + number
    made = AuditEntry(format_uuid7(at_ms, number), at_ms, by, CallerKind.USER, action, Target("delivery", f"d{number}"))
    return replace(made, **changes)


async def check_an_entry_is_kept_whole(store: Store) -> None:
    """Every field of it, and nothing where there was nothing."""
    whole = make_entry(
        1,
        "Zoë\x00",
        by_kind=CallerKind.CLI,
        count=4711,
        why="a reason\n",
        address="2001:db8::1",
        details=MappingProxyType({"ids": "a, b", "to": "crm\x1b"}),
    )
    bare = make_entry(2)
    await store.note([whole, bare])
    expect_equal((await store.audit(AuditFilter(), Page())).rows, (bare, whole), "entries")


async def check_an_entry_is_never_changed(store: Store) -> None:
    """What is noted again under the same id, because nobody knows whether it was noted, stays as it is."""
    await store.note([make_entry(1)])
    await store.note([make_entry(1, "mallory", READ), make_entry(2)])
    expect_equal((await store.audit(AuditFilter(), Page())).rows, (make_entry(2), make_entry(1)), "entries")


async def check_every_filter(store: Store) -> None:
    """By who, by what, by both; times from since, up to until."""
    entries = [make_entry(n, ("ada", "bob")[n % 2], (REPLAY, READ)[n // 2 % 2]) for n in range(8)]
    await store.note(entries)
    for wanted, expected in (
        (AuditFilter(by="bob"), [7, 5, 3, 1]),
        (AuditFilter(action=READ), [7, 6, 3, 2]),
        (AuditFilter(by="bob", action=READ), [7, 3]),
        (AuditFilter(since_ms=AT_MS + 2, until_ms=AT_MS + 5), [4, 3, 2]),
        (AuditFilter(since_ms=AT_MS + 5, until_ms=AT_MS + 2), []),
        (AuditFilter("ada", REPLAY, AT_MS + 1, AT_MS + 5), [4]),
        (AuditFilter(by="BOB"), []),
    ):
        found = (await store.audit(wanted, Page())).rows
        expect_equal([each.at_ms - AT_MS for each in found], expected, f"entries of {wanted}")


async def check_paging(store: Store) -> None:
    """Pages follow each other without a gap and without a repetition, either way, with a filter and without."""
    entries = [make_entry(number, ("ada", "bob")[number % 2]) for number in range(7)]
    await store.note(entries)
    for newest_first in (True, False):
        for by, expected in ((None, entries), ("ada", entries[::2])):
            seen: list[AuditEntry] = []
            after = None
            for _ in range(9):
                found = await store.audit(AuditFilter(by=by), Page(2, after, newest_first))
                seen += found.rows
                after = found.next_after
                if after is None:
                    break
            expect_equal(seen, expected[::-1] if newest_first else expected, f"pages of {by}")


async def check_forgetting(store: Store) -> None:
    """The oldest go first, a few at a time; what is from that very time stays."""
    await store.note([make_entry(number) for number in range(5)])
    expect_equal(await store.forget_audit(AT_MS + 3, 2), 2, "forgotten at first")
    expect_equal(await store.forget_audit(AT_MS + 3, 2), 1, "forgotten then")
    expect_equal(await store.forget_audit(AT_MS + 3, 2), 0, "forgotten at last")
    left = (await store.audit(AuditFilter(), Page())).rows
    expect_equal([each.at_ms - AT_MS for each in left], [4, 3], "entries left")
