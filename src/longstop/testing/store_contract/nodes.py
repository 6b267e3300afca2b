"""Nodes: which processes are there, as they say themselves."""

from dataclasses import replace

from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect_equal

ONE = Node("b:1", ("ingest", "work"), "0.1.0", AT_MS, AT_MS)
TWO = Node("a:2", ("work",), "0.1.0", AT_MS + 5, AT_MS + 5)


async def check_every_node_is_listed(store: Store) -> None:
    """By name, each as it last said."""
    expect_equal(list(await store.nodes()), [], "nodes of an empty store")
    await store.beat(ONE)
    await store.beat(TWO)
    later = replace(ONE, seen_at_ms=AT_MS + 5_000, cpu_percent=25, attempts=7)
    await store.beat(later)
    expect_equal(list(await store.nodes()), [TWO, later], "nodes")


async def check_who_leaves_is_gone(store: Store) -> None:
    """At once, and only that one; leaving twice is no fault."""
    await store.beat(ONE)
    await store.beat(TWO)
    for _ in range(2):
        await store.leave(ONE.name)
    expect_equal(list(await store.nodes()), [TWO], "nodes")


async def check_who_was_killed_is_forgotten_in_time(store: Store) -> None:
    """Not at once: when it was last seen is worth knowing."""
    await store.beat(ONE)
    almost = replace(TWO, seen_at_ms=ONE.seen_at_ms + FORGOTTEN_AFTER_MS)
    await store.beat(almost)
    expect_equal(list(await store.nodes()), [almost, ONE], "nodes when it is almost forgotten")
    late = replace(almost, seen_at_ms=almost.seen_at_ms + 1)
    await store.beat(late)
    expect_equal(list(await store.nodes()), [late], "nodes when it is forgotten")
