"""Events go out as lines and come in again as they stood; a line that is none is told by its number."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from longstop.archives.lines import from_line, to_line
from longstop.model.event import ReceiptStatus
from longstop.operating.event_lines import EventLines, Imported, LineError
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import event_id, make_append, make_quarantined
from longstop.testing.store_contract.steps import append_one, lease_one, parked, settled


async def a_store() -> MemoryStore:
    store = MemoryStore()
    await store.append([make_append(1, dedup=b"\xffk", body=b"\xff\x00")])
    await settled(store, parked(await lease_one(store)))
    await store.append([make_append(2, to=("crm", "lake")), make_append(3, to=()), make_quarantined(4)])
    return store


def over(store: MemoryStore) -> EventLines:
    return EventLines(store, to_line, from_line)


async def exported(store: MemoryStore) -> list[bytes]:
    return [line async for line in over(store).export()]


async def imported(store: MemoryStore, lines: Iterable[bytes]) -> Imported:
    return [each async for each in over(store).take(lines, "x.jsonl")][-1]


async def test_what_is_exported_and_imported_stands_as_it_stood() -> None:
    first, second = await a_store(), MemoryStore()
    lines = await exported(first)
    assert await imported(second, lines) == Imported(4, 0)
    ids = [event_id(n) for n in (1, 2, 3, 4)]
    assert await second.whole(ids) == await first.whole(ids)
    assert await exported(second) == lines
    again = await append_one(second, make_append(9, dedup=b"\xffk"))
    assert (again.status, again.event_id) == (ReceiptStatus.DUPLICATE, event_id(1))


async def test_an_import_that_is_tried_again_changes_nothing() -> None:
    first, second = await a_store(), MemoryStore()
    lines = await exported(first)
    await imported(second, lines[:2])
    await settled(second, parked(await lease_one(second)))
    assert await imported(second, [*lines, b"\n"]) == Imported(2, 2)
    counts = await second.counts()
    assert (counts.events, counts.deliveries["crm"]["dead"]) == (4, 2)


def changed(line: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(line) | changes).encode()


def of_delivery(line: bytes, **changes: Any) -> bytes:
    return changed(line, deliveries=[each | changes for each in json.loads(line)["deliveries"]])


BROKEN = {
    "no JSON": (lambda line: line[:40], "truncated"),
    "a list": (lambda _: b"[]", "Expected `object`, got `array`"),
    "without an id": (lambda _: b"{}", "missing required field `id`"),
    "a number for a source": (lambda line: changed(line, source=7), r"Expected `str`, got `int` - at `\$.source`"),
    "an id that is none": (lambda line: changed(line, id="7"), "found the id '7'; expected a UUID"),
    "a history too many": (lambda line: changed(line, history=[]), "found 0 histories of 2 deliveries"),
    "another's delivery": (lambda line: of_delivery(line, event_id="x"), "a delivery of the event 'x'"),
    "a state that is none": (lambda line: of_delivery(line, state="lost"), "Invalid enum value 'lost'"),
    "dead of nothing": (lambda line: of_delivery(line, state="dead"), "dead, with the reason None"),
    "no text at all": (lambda _: b"\xff\xfe", "malformed"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_line_that_is_none_is_told_and_what_stands_before_it_is_in(name: str) -> None:
    breaking, said = BROKEN[name]
    lines = await exported(await a_store())
    store = MemoryStore()
    with pytest.raises(LineError, match=said) as caught:
        await imported(store, [lines[0], breaking(lines[1]), lines[2]])
    assert str(caught.value).startswith("x.jsonl:2: ")
    assert (await store.counts()).events == 1


async def test_a_line_of_an_archive_from_before_there_were_exports_is_read() -> None:
    line = json.loads((await exported(await a_store()))[0])
    del line["dedup_until_ms"]
    store = MemoryStore()
    assert await imported(store, [json.dumps(line).encode()]) == Imported(1, 0)
    assert await store.dedup_keys(None, 9) == []
