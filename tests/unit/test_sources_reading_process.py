"""Large and intricate bodies are read by a process of their own: as well as here, and at nobody else's cost."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator

import pytest

from longstop.model.errors import BodyTooLargeError, MalformedError, UnavailableError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.routing import Target
from longstop.model.settings import SourceSettings
from longstop.sources import build, reading_process
from longstop.sources.document_size import LIGHT_BYTES, LIGHT_NODES, NODES_MAX, is_light
from longstop.sources.reading_process import ReadingProcess
from longstop.sources.reading_worker import RouteSpec, Setup

SHOP = SourceSettings("shop", "generic", ("secret",), dedup="id", type="type", key="items[?here].name | [0]")
ROUTES = (RouteSpec("shop", ("crm",), "type == 'sold'", 60_000), RouteSpec("shop", ("all",), None, None))


@pytest.fixture
async def reader() -> AsyncIterator[ReadingProcess]:
    made = ReadingProcess(Setup((SHOP,), ROUTES))
    yield made
    await made.close()


def gzipped(body: bytes) -> Request:
    packer = zlib.compressobj(wbits=31)
    return Request(Headers([("Content-Encoding", "gzip")]), packer.compress(body) + packer.flush())


async def test_it_reads_and_routes_as_the_source_does(reader: ReadingProcess) -> None:
    body = b'{"id":"e1","type":"sold","items":[' + b"{}," * 3_000 + b'{"here":true,"name":"c1"}]}'
    reading, destinations = await reader.read("shop", Request(Headers(), body), 30)
    assert (reading.dedup, reading.type, reading.key, reading.document) == (b"e1", "sold", "c1", None)
    assert dict(destinations) == {"crm": Target(60_000), "all": Target()}
    reading, destinations = await reader.read("shop", gzipped(b'{"id":"e2"}'), 30)
    assert (reading.dedup, dict(destinations)) == (b"e2", {"all": Target()})


async def test_what_the_source_cannot_read_it_cannot_either(reader: ReadingProcess) -> None:
    for body, match in ((b"{", "cannot be read"), (b'{"id":1,"id":2}', "ambiguous"), (b'{"id":[]}', "ambiguous")):
        with pytest.raises(MalformedError, match=match):
            await reader.read("shop", Request(Headers(), body), 30)
    with pytest.raises(BodyTooLargeError):
        await reader.read("shop", gzipped(b" " * 20_000_000), 30)
    reading, _ = await reader.read("shop", Request(Headers(), b'{"id":1}'), 30)
    assert reading.dedup == b"1"


async def test_where_nothing_depends_on_the_event_it_is_routed_as_well() -> None:
    reader = ReadingProcess(Setup((SHOP,), (RouteSpec("shop", ("all", "crm"), None, None),)))
    try:
        _, destinations = await reader.read("shop", Request(Headers(), b'{"id":1}'), 30)
    finally:
        await reader.close()
    assert dict(destinations) == {"all": Target(), "crm": Target()}


async def test_a_worker_that_was_killed_costs_nothing_and_a_request_that_ends_two_is_malformed(
    reader: ReadingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reader.read("shop", Request(Headers(), b"{}"), 30)
    assert reader._worker is not None
    os.kill(reader._worker._process.pid, 9)
    reading, _ = await reader.read("shop", Request(Headers(), b'{"id":1}'), 30)
    assert reading.dedup == b"1"
    asked: list[object] = []

    async def dies(worker: object, *_: object) -> None:
        asked.append(worker)
        raise EOFError

    with monkeypatch.context() as patch:
        patch.setattr(reading_process._Worker, "ask", dies)
        with pytest.raises(MalformedError, match="twice"):
            await reader.read("shop", Request(Headers(), b"{}"), 30)
    assert len(set(map(id, asked))) == 2
    await reader.read("shop", Request(Headers(), b"{}"), 30)


async def test_a_fault_of_ours_is_no_fault_of_the_body(reader: ReadingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="a fault of ours"):
        await reader.read("no source of the worker's", Request(Headers(), b"{}"), 30)
    reading, _ = await reader.read("shop", Request(Headers(), b'{"id":1}'), 30)
    assert reading.dedup == b"1"


async def test_a_body_that_takes_too_long_is_malformed_and_its_worker_ends(
    reader: ReadingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reader.read("shop", Request(Headers(), b"{}"), 30)
    assert reader._worker is not None
    process = reader._worker._process
    monkeypatch.setattr(reading_process, "READ_WITHIN_S", 0.01)
    with pytest.raises(MalformedError, match="too long"):
        await reader.read("shop", Request(Headers(), b'{"a":[' + b"[]," * 300_000 + b"[]]}"), 30)
    await reader.close()
    assert process.poll() is not None


async def test_a_body_that_takes_too_much_memory_is_malformed(
    reader: ReadingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_process, "_BOOT", _WITHIN_LITTLE_MEMORY)
    body = b'{"items":[' + b'"",' * 990_000 + b'""],"a":"' + b"x" * 8_000_000 + b'"}'
    with pytest.raises(MalformedError, match=r"memory|ended"):
        await reader.read("shop", Request(Headers(), body), 30)


_WITHIN_LITTLE_MEMORY = (
    "import sys; end, *sys.path = sys.argv[1:]\n"
    "import longstop.sources\n"
    "from longstop.sources import reading_worker\n"
    "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
    "reading_worker.MEMORY_BYTES_MAX = used + 12_000_000\n"
    "reading_worker.main(int(end))"
)


async def test_no_worker_in_time_is_unavailable_and_it_is_there_for_the_next(reader: ReadingProcess) -> None:
    with pytest.raises(UnavailableError):
        await reader.read("shop", Request(Headers(), b"{}"), 0)
    first = reader._worker
    await reader.read("shop", Request(Headers(), b"{}"), 30)
    assert reader._worker is first


async def test_one_that_gives_up_does_not_leave_its_answer_to_the_next(reader: ReadingProcess) -> None:
    await reader.read("shop", Request(Headers(), b"{}"), 30)
    reading = asyncio.create_task(reader.read("shop", Request(Headers(), b'{"id":1}'), 30))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    found, _ = await reader.read("shop", Request(Headers(), b'{"id":2}'), 30)
    assert found.dedup == b"2"


# -- what is light, and what is too much --------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "light"),
    [
        (b"", True),
        (b"[" * LIGHT_NODES, True),
        (b'{"a":"' + b"x" * (LIGHT_BYTES - 8) + b'"}', True),
        (b'{"a":"' + b"x" * (LIGHT_BYTES - 7) + b'"}', False),
        (b"[" + b"1," * (LIGHT_NODES - 1) + b"1]", True),
        (b"[" + b"1," * LIGHT_NODES + b"1]", False),
        # As dense as JSON can be, and forms.
        (b"[" + b"[]," * (LIGHT_NODES // 2 - 1) + b"[]]", True),
        (b"[" + b"[]," * (LIGHT_NODES // 2) + b"[]]", False),
        (b"&" * LIGHT_NODES, True),
        (b"&" * (LIGHT_NODES + 1), False),
        (b"a=1&" * LIGHT_NODES, True),
        (b"a=1&" * (LIGHT_NODES + 1), False),
    ],
)
def test_light_is_what_has_few_bytes_and_few_nodes(body: bytes, light: bool) -> None:
    assert is_light(Request(Headers(), body)) is light
    assert is_light(gzipped(body)) is light


def test_what_is_packed_counts_as_unpacked_and_is_never_unpacked_whole_for_that() -> None:
    assert not is_light(gzipped(b"[]," * 3_300_000))
    assert is_light(Request(Headers([("Content-Encoding", "gzip")]), b"no gzip"))


def test_a_document_of_too_many_values_is_malformed_also_where_it_need_not_be_json() -> None:
    lists = b"[" + b"[]," * (NODES_MAX // 2) + b"[]]"
    members = b"{" + b",".join(b'"k%d":1' % number for number in range(NODES_MAX + 1)) + b"}"
    texts = b"[" + b'"x,y",' * (NODES_MAX + 1) + b"1]"
    for body in (lists, members, texts, b"\n " + lists):
        for dedup in ("id", None):
            with pytest.raises(MalformedError, match="would take too long"):
                build(SourceSettings("s", "generic", dedup=dedup)).read(Request(Headers(), body))


def test_commas_in_texts_are_no_values() -> None:
    body = b'{"id":"1","csv":"' + b'a,\\"b\\",[c],\\\\' * (NODES_MAX // 2) + b'"}'
    assert (
        build(SourceSettings("s", "generic", dedup="id", max_body_bytes=2**25)).read(Request(Headers(), body)).dedup
        == b"1"
    )


def test_what_is_no_json_may_have_as_many_commas_as_it_likes() -> None:
    reading = build(SourceSettings("s", "generic")).read(Request(Headers(), b"a,b\n" * NODES_MAX))
    assert reading.document is None
