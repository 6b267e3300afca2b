"""Health: what a store warns of, although it works."""

from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect


async def check_what_is_warned_of_can_be_told(store: Store) -> None:
    """A sentence for people, names and values for programs, one warning of a kind, and no time that is to come."""
    found = await store.health(AT_MS)
    for each in found.warnings:
        expect(bool(each.text.strip()), f"{each.kind}: a warning says what is so")
        expect(each.since_ms is None or each.since_ms <= AT_MS, f"{each.kind}: since when is not in the future")
        expect(all(isinstance(name, str) for name in each.details), f"{each.kind}: details have names")
    kinds = [each.kind for each in found.warnings]
    expect(len(kinds) == len(set(kinds)), f"one warning of a kind, found {kinds}")
    oldest = found.oldest_snapshot_ms
    expect(oldest is None or oldest >= 0, f"a snapshot's age is none or not below 0, found {oldest}")
