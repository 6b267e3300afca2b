"""Accepting: what is kept, what is answered, and what happens when the store cannot."""

import asyncio
import json
import random
from typing import Any

import pytest
from services import all_deliveries, on_virtual_time, settle_down
from structlog.testing import capture_logs

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.ingest import Ingest
from longstop.group_commit import BESIDE_MIN, GroupCommit
from longstop.model.backpressure import Watermarks
from longstop.model.delivery import DeadReason, State
from longstop.model.errors import QuarantinedError, UnavailableError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import ANSWER_WITHIN_S, Answer, Request
from longstop.model.ids import IdFactory, is_id
from longstop.model.routing import Route, Router
from longstop.model.settings import ChallengeSettings, SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.sources import build, unknown_sources
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore

SHOP = SourceSettings(
    "shop",
    "generic",
    secrets=("right",),
    verify=VerifySettings("hmac-sha256", "X-Signature"),
    dedup="id",
    type="type",
    key="conversation",
    dedup_window_ms=60_000,
)
ROUTES = [Route("shop", ("crm", "bi"), lambda document: document != {"id": 1, "type": "Unwanted"})]


class Gate:
    """The accepting side over a store in memory that can fail."""

    def __init__(self, at_once: int = 1) -> None:
        self.store: Any = FaultyStore(MemoryStore())
        self.ingest = Ingest(
            {"shop": build(SHOP)},
            unknown_sources([build(SHOP)], b"random"),
            Router(ROUTES, ordered=["crm"]),
            GroupCommit(self.store.append, at_once=at_once),
            VirtualClock(),
            IdFactory(random.Random(1)),
            Backpressure(VirtualClock(), random.Random(1), self.store, Watermarks(max_backlog=100)),
        )
        self.ingest.accepting = True

    async def post(self, body: bytes, name: str = "shop", secret: str = "right") -> Answer:
        headers = Headers([("Content-Type", "application/json"), *sign(SHOP, body)])
        if secret != "right":
            headers = Headers([("X-Signature", secret)])
        return await self.ingest.receive(self.ingest.source(name), Request(headers, body))


def read(answer: Answer) -> tuple[str, str]:
    said = json.loads(answer.body)
    return said["status"], said["id"]


@on_virtual_time
async def test_accepted_is_kept_as_sent_with_a_delivery_for_every_destination() -> None:
    gate = Gate()
    body = b'{"id": 1, "type": "Text",\n "conversation": "c-1"}'
    answer = await gate.post(body)
    status, event_id = read(answer)
    assert (answer.status, status, is_id(event_id)) == (200, "accepted", True)
    kept = await gate.store.event(event_id)
    assert (kept.event.body, kept.event.received_at_ms) == (body, AT_MS)
    assert next(iter(kept.event.headers)) == ("Content-Type", "application/json")
    assert (kept.event.source, kept.event.type, kept.event.key, kept.event.dedup) == ("shop", "Text", "c-1", b"1")
    assert {(each.destination, each.lane) for each in kept.deliveries} == {("crm", "shop:c-1"), ("bi", None)}
    assert {each.state for each in kept.deliveries} == {State.SCHEDULED}


@on_virtual_time
async def test_a_duplicate_is_answered_with_the_first_ones_id_until_its_window_is_over() -> None:
    gate = Gate()
    _, first = read(await gate.post(b'{"id": 1}'))
    await VirtualClock().sleep(59.999)
    assert read(await gate.post(b'{"id": 1, "again": true}')) == ("duplicate", first)
    await VirtualClock().sleep(0.001)
    status, second = read(await gate.post(b'{"id": 1}'))
    assert (status, second != first) == ("accepted", True)


@on_virtual_time
async def test_requests_that_race_make_one_event() -> None:
    gate = Gate()
    answers = [read(each) for each in await asyncio.gather(*(gate.post(b'{"id": 1}') for _ in range(20)))]
    assert sorted(status for status, _ in answers) == ["accepted"] + ["duplicate"] * 19
    assert len({event_id for _, event_id in answers}) == 1


@on_virtual_time
@pytest.mark.parametrize(("key", "in_flight"), [(b', "conversation": "c"', 1), (b"", 2)], ids=["a key", "no key"])
async def test_what_has_a_place_in_an_order_is_kept_before_what_came_after_it(key: bytes, in_flight: int) -> None:
    gate = Gate(at_once=2)
    stalled = gate.store.stall("append")
    posts = [asyncio.create_task(gate.post(b'{"id": 0' + key + b"}"))]
    await settle_down()
    posts += [asyncio.create_task(gate.post(b'{"id": %d%s}' % (n, key))) for n in range(1, BESIDE_MIN + 1)]
    await settle_down()
    assert gate.store.calls["append"] == in_flight
    stalled.set()
    assert {read(answer)[0] for answer in await asyncio.gather(*posts)} == {"accepted"}


@on_virtual_time
async def test_an_event_that_no_route_wants_is_kept_unrouted() -> None:
    gate = Gate()
    _, event_id = read(await gate.post(b'{"id": 1, "type": "Unwanted"}'))
    assert (await gate.store.event(event_id)).deliveries == ()
    assert (await gate.store.counts()).unrouted == 1


@on_virtual_time
async def test_authentic_and_unreadable_is_quarantined_under_the_id_that_is_answered() -> None:
    gate = Gate()
    with pytest.raises(QuarantinedError) as caught:
        await gate.post(b'{"id": 1')
    kept = await gate.store.event(caught.value.event_id)
    (delivery,) = kept.deliveries
    assert kept.event.body == b'{"id": 1'
    assert (delivery.state, delivery.reason, delivery.destination) == (State.DEAD, DeadReason.MALFORMED, "")
    assert delivery.last_error == str(caught.value)
    assert caught.value.status == 400


@on_virtual_time
async def test_a_challenge_is_answered_and_nothing_of_it_is_kept() -> None:
    gate = Gate()
    asked = SourceSettings("asked", "generic", challenge=ChallengeSettings(field="challenge"))
    answer = await gate.ingest.receive(build(asked), Request(Headers(), b'{"challenge": "abc"}'))
    assert (answer.status, answer.body) == (200, b'{"challenge":"abc"}')
    assert (await gate.store.counts()).events == 0


@on_virtual_time
async def test_quarantine_that_cannot_be_stored_is_unavailable_and_not_malformed() -> None:
    gate = Gate()
    gate.store.fail("append")
    with pytest.raises(UnavailableError):
        await gate.post(b"{")


@on_virtual_time
async def test_an_unknown_source_says_the_same_as_a_wrong_signature() -> None:
    gate = Gate()
    said = []
    for name, secret in (("shop", "wrong"), ("unknown", "wrong"), ("unknown", "right"), ("", "right")):
        with pytest.raises(VerificationError) as caught:
            await gate.post(b'{"id": 1}', name, secret)
        said.append((str(caught.value), caught.value.status, caught.value.title))
    assert len(set(said)) == 1
    assert (await gate.store.counts()).events == 0


@on_virtual_time
async def test_a_sender_that_waits_a_second_is_answered_within_it() -> None:
    gate = Gate()
    expert = build(SourceSettings("docs", "cxone-expert", secrets=("s",)))
    vars(gate.ingest.source("shop"))["answer_within_s"] = expert.answer_within_s
    gate.store.stall("append")
    with pytest.raises(UnavailableError, match="did not confirm the event in time"):
        await gate.post(b'{"id": 1}')
    assert VirtualClock().now_ms() - AT_MS < 1_000


@on_virtual_time
async def test_a_store_that_stalls_is_unavailable_within_the_limit() -> None:
    gate = Gate()
    stalled = gate.store.stall("append")
    with pytest.raises(UnavailableError, match="did not confirm the event in time") as caught:
        await gate.post(b'{"id": 1}')
    assert ANSWER_WITHIN_S * 1000 <= VirtualClock().now_ms() - AT_MS < 4_000
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
    # It was under way, so it may be kept all the same; the sender's next try is a duplicate then.
    stalled.set()
    await settle_down()
    assert read(await gate.post(b'{"id": 1}'))[0] == "duplicate"


@on_virtual_time
async def test_a_store_that_is_down_is_unavailable_at_once_and_says_nothing_of_its_inside() -> None:
    gate = Gate()
    gate.store.fail("append")
    with pytest.raises(UnavailableError, match="could not be stored") as caught:
        await gate.post(b'{"id": 1}')
    assert "told to fail" not in str(caught.value)
    assert VirtualClock().now_ms() == AT_MS
    assert read(await gate.post(b'{"id": 1}'))[0] == "accepted"


@on_virtual_time
async def test_while_stopping_nothing_is_taken() -> None:
    gate = Gate()
    gate.ingest.accepting = False
    with pytest.raises(UnavailableError, match="stopping"):
        await gate.post(b'{"id": 1}')
    with pytest.raises(UnavailableError, match="stopping"):
        await gate.post(b"{")
    with pytest.raises(VerificationError):
        await gate.post(b'{"id": 1}', secret="wrong")
    assert await all_deliveries(gate.store) == []


@on_virtual_time
async def test_no_answer_before_the_store_confirmed() -> None:
    gate = Gate()
    stalled = gate.store.stall("append")
    answering = asyncio.create_task(gate.post(b'{"id": 1}'))
    await settle_down()
    assert not answering.done()
    stalled.set()
    assert read(await answering)[0] == "accepted"


@on_virtual_time
async def test_what_the_sender_calls_a_request_is_logged_beside_the_event() -> None:
    gate = Gate()
    traced = build(SourceSettings("traced", "generic", required_headers=("X-Webhook-Id",)))
    with capture_logs() as logged:
        answer = await gate.ingest.receive(traced, Request(Headers([("x-webhook-id", "w-7")]), b"{}"))
        await gate.post(b'{"id": 1}')
    assert [entry for entry in logged if entry["event"] == "kept"] == [
        {
            "event": "kept",
            "log_level": "info",
            "source": "traced",
            "event_id": read(answer)[1],
            "status": "accepted",
            "trace": {"X-Webhook-Id": "w-7"},
        }
    ]
