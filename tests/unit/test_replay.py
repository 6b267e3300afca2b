"""What people decide: replay by id, event or filter; edits, quarantine, unrouted events; discards with a reason."""

import random
from dataclasses import replace
from typing import Any

import pytest
from services import REJECTED, Works, all_deliveries, on_virtual_time, settle_down

from longstop.model.action import Edit
from longstop.model.delivery import DeadReason, Delivery, State, Transition, Trigger, Wait
from longstop.model.errors import NotFoundError
from longstop.model.event import Origin
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter
from longstop.model.routing import Route, Router
from longstop.model.settings import SourceSettings
from longstop.operating.replay import Replay, ReplayError
from longstop.operating.survey import SAMPLE
from longstop.sources import build
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import ScriptedSender

SHOP = build(SourceSettings("shop", "generic", dedup="id", type="type", key="key"))
DEAD = DeliveryFilter(state=State.DEAD)


def replayer(store: Any, *routes: Route, ordered: tuple[str, ...] = ()) -> Replay:
    router = Router(routes or [Route("shop", ("crm",))], ordered)
    return Replay(store, {"shop": SHOP}, router, VirtualClock(), IdFactory(random.Random(1)), by="ada")


async def dead(store: MemoryStore, count: int = 1, to: tuple[str, ...] = ("crm",), **event: Any) -> list[Delivery]:
    """So many dead deliveries for each destination."""
    await store.append([make_append(n, to=to, **event) for n in range(1, count + 1)])
    claims = (await store.lease(LeaseRequest("w", dict.fromkeys(to, 10_000), AT_MS, AT_MS + 1))).claims
    park = Transition(Trigger.PARK, AT_MS, reason=DeadReason.REJECTED)
    await store.settle([Settlement(each.delivery.tried(REJECTED).after(park)) for each in claims])
    return await all_deliveries(store)


@on_virtual_time
async def test_a_replay_is_a_new_round_that_is_recorded_and_delivered() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store)
    (done,) = await replayer(store).replay([delivery])
    assert (done.delivery_id, done.event_id) == (delivery.id, delivery.event_id)
    assert (done.state, done.error) == (State.SCHEDULED, None)
    (action,) = (await store.history(delivery.id)).actions
    assert (action.trigger, action.by, action.at_ms) == (Trigger.REPLAY, "ada", AT_MS)
    sender = ScriptedSender()
    async with Works(store, crm=sender) as works:
        again = await works.one()
        assert (again.state, again.round, again.attempts, again.tries) == (State.DELIVERED, 2, 2, 1)
        assert sender.sent[0].event_id == delivery.event_id


@on_virtual_time
async def test_by_id_means_the_delivery_or_the_events_dead_ones_or_all_that_ended() -> None:
    store = MemoryStore()
    one, two = await dead(store, to=("bi", "crm"))
    replay = replayer(store)
    assert await replay.by_id(one.id) == (one,)
    assert set(await replay.by_id(one.event_id)) == {one, two}
    await replay.discard([one], "a test")
    assert await replay.by_id(one.event_id) == (two,)
    await replay.discard([two], "a test")
    assert {each.id for each in await replay.by_id(one.event_id)} == {one.id, two.id}
    await replay.replay([one, two])
    assert await replay.by_id(one.event_id) == ()
    with pytest.raises(NotFoundError, match="no event or delivery has the id nonsense; longstop events list"):
        await replay.by_id("nonsense")


@on_virtual_time
async def test_a_filter_selects_over_many_pages_oldest_first_and_changes_nothing() -> None:
    store = MemoryStore()
    every = await dead(store, count=1_100)
    replay = replayer(store)
    assert [each async for each in replay.select(DEAD)] == every
    preview = await replay.preview(DEAD)
    assert (preview.count, preview.sample) == (1_100, tuple(every[:SAMPLE]))
    assert (await replay.preview(DeliveryFilter(state=State.DEAD, key="order-7"))).count == 1
    done = await replay.replay(every)
    assert [each.delivery_id for each in done] == [each.id for each in every]
    assert (await replay.preview(DEAD)).count == 0


@on_virtual_time
async def test_a_rate_spreads_when_they_come_due_also_over_several_calls() -> None:
    store = MemoryStore()
    every = await dead(store, count=6)
    replay = replayer(store)
    await replay.replay(every[:4], rate_per_s=4)
    await replay.replay(every[4:], rate_per_s=4, offset=4)
    due = [each.due_at_ms - AT_MS for each in await all_deliveries(store)]
    assert due == [0, 250, 500, 750, 1000, 1250]


@pytest.mark.parametrize("rate", [None, 0.5, 3.0, 1000.0])
def test_no_rate_is_at_once_and_any_rate_is_kept(rate: float | None) -> None:
    @on_virtual_time
    async def scenario() -> None:
        store = MemoryStore()
        await replayer(store).replay(await dead(store, count=4), rate_per_s=rate)
        due = [each.due_at_ms - AT_MS for each in await all_deliveries(store)]
        assert due == [0 if rate is None else round(place * 1000 / rate) for place in range(4)]

    scenario()


@on_virtual_time
async def test_what_cannot_be_done_says_why_and_the_others_are_done() -> None:
    store = MemoryStore()
    first, second = await dead(store, count=2)
    replay = replayer(store)
    await replay.replay([first])
    for done, error in zip(
        [*(await replay.replay([first, second])), *(await replay.discard([first], "why"))],
        [
            "it is scheduled; only what has ended is sent again",
            None,
            None,
        ],
        strict=True,
    ):
        assert done.error == error
    (again,) = await replay.discard([first], "why")
    assert again.error == "it is discarded; only what is dead or waits is given up"
    (gone,) = await replay.discard([replace(first, id="gone")], "why")
    assert (gone.state, gone.error) == (None, "no such delivery")


@on_virtual_time
async def test_a_discard_needs_a_dead_delivery_and_records_why() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store)
    (done,) = await replayer(store).discard([delivery], "a test order")
    assert done.state is State.DISCARDED
    (action,) = (await store.history(delivery.id)).actions
    assert (action.trigger, action.by, action.why) == (Trigger.DISCARD, "ada", "a test order")


# -- edits --------------------------------------------------------------------------------------------


@on_virtual_time
async def test_an_edit_is_a_new_event_and_the_original_stays_as_it_was() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store, to=("bi",), dedup=b"1")
    before = await store.event(delivery.event_id)
    made = await replayer(store).edit(delivery.id, b'{"id": "1", "type": "Mended", "key": "k"}')
    after = await store.event(delivery.event_id)
    assert (after.event, after.redeliveries) == (before.event, 0)  # type: ignore[union-attr]
    assert after.deliveries == (replace(delivery, replaced_by=made.id),)  # type: ignore[union-attr]
    kept = await store.event(made.id)
    assert kept is not None
    assert (kept.event.parent, kept.event.origin, kept.event.dedup) == (delivery.event_id, Origin.REPLAY, None)
    assert (kept.event.type, kept.event.key, kept.event.body[:5]) == ("Mended", "k", b'{"id"')
    assert kept.event.headers == before.event.headers  # type: ignore[union-attr]
    # Where the delivery went, not where today's routes lead.
    assert [(each.destination, each.state) for each in kept.deliveries] == [("bi", State.SCHEDULED)]


@on_virtual_time
async def test_an_edit_leaves_a_trail_both_ways() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store)
    made = await replayer(store).edit(delivery.id, b'{"id": "1", "type": "Mended", "key": "k"}', "a wrong number")
    first, second = await store.event(delivery.event_id), await store.event(made.id)
    trail = Edit(made.id, delivery.event_id, AT_MS, "ada", "a wrong number")
    assert (first.made_by, first.edits) == (None, (trail,))  # type: ignore[union-attr]
    assert (second.made_by, second.edits) == (trail, ())  # type: ignore[union-attr]


@on_virtual_time
async def test_what_was_replaced_by_an_edit_is_left_out_of_many_unless_asked_for() -> None:
    store = MemoryStore()
    first, second = await dead(store, count=2)
    replay = replayer(store)
    await replay.edit(first.id, b'{"id": "1", "type": "Mended", "key": "k"}')
    wanted = DEAD
    assert [each.id async for each in replay.select(wanted, including_edited=False)] == [second.id]
    assert [each.id async for each in replay.select(wanted)] == [first.id, second.id]
    assert (await replay.preview(wanted, including_edited=False)).count == 1


@on_virtual_time
async def test_a_plan_of_an_edit_keeps_nothing() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store, to=("bi",))
    plan = await replayer(store).plan_edit(delivery.id, b'{"id": "1", "type": "Mended", "key": "k"}')
    assert [each.destination for each in plan.append.deliveries] == ["bi"]
    assert (plan.parent.id, plan.replaces) == (delivery.event_id, (delivery,))
    assert await all_deliveries(store) == [delivery]


@on_virtual_time
async def test_what_waits_is_expedited_and_what_is_dead_is_not() -> None:
    store = MemoryStore()
    first, second = await dead(store, count=2)
    replay = replayer(store)
    await replay.replay([first], rate_per_s=0.001, offset=1)
    (waiting, _) = await all_deliveries(store)
    assert (waiting.wait, waiting.due_at_ms) == (Wait.REPLAY, AT_MS + 1_000_000)
    done, refused = await replay.expedite([first, second], "it is back")
    assert (done.state, refused.error) == (State.SCHEDULED, "it is dead; only what waits can be expedited")
    (hurried, _) = await all_deliveries(store)
    assert (hurried.wait, hurried.due_at_ms, hurried.round) == (None, AT_MS, 2)
    assert [each.why for each in (await store.history(first.id)).actions] == [None, "it is back"]


@on_virtual_time
async def test_an_edit_does_not_wait_in_its_lane_for_the_dead_one_that_it_replaces() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store)
    made = await replayer(store, ordered=("crm",)).edit(delivery.id, b'{"id": "1", "type": "Mended", "key": "k"}')
    kept = await store.event(made.id)
    assert kept is not None
    assert [each.lane for each in kept.deliveries] == [None]


@on_virtual_time
async def test_a_replay_goes_to_the_lane_of_today_s_routes() -> None:
    """One that was skipped has none; one that ended long ago has the one of then."""
    store = MemoryStore()
    (delivery,) = await dead(store)
    routes = [Route("shop", ("crm",), order_with="customer")]
    await replayer(store, *routes, ordered=("crm",)).replay([delivery])
    replayed = await store.delivery(delivery.id)
    assert replayed is not None
    assert replayed.lane == f"@customer:{delivery.key}"


@on_virtual_time
async def test_an_edit_of_an_event_goes_where_it_is_dead_or_else_everywhere_it_went() -> None:
    store = MemoryStore()
    bi, crm = await dead(store, to=("bi", "crm"))
    replay = replayer(store)
    await replay.discard([bi], "not needed there")

    async def destinations(id_: str) -> list[str]:
        made = await store.event((await replay.edit(id_, b"{}")).id)
        return [each.destination for each in made.deliveries]  # type: ignore[union-attr]

    assert await destinations(bi.event_id) == ["crm"]
    assert await destinations(bi.id) == ["bi"]
    await replay.discard([crm], "nor there")
    assert await destinations(bi.event_id) == ["bi", "crm"]


@on_virtual_time
async def test_an_edit_that_cannot_be_read_makes_nothing() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store)
    with pytest.raises(ReplayError, match=f"event {delivery.event_id}: .*--edit FILE, a body that can be read"):
        await replayer(store).edit(delivery.id, b"{")
    assert (await store.counts()).events == 1


@on_virtual_time
async def test_an_edit_of_nothing_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        await replayer(MemoryStore()).edit("nonsense", b"{}")


@on_virtual_time
async def test_a_source_that_is_gone_is_no_hindrance_where_the_destination_is_known() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store, source="gone")
    made = await replayer(store).edit(delivery.id, b"not even JSON")
    assert (made.type, made.key) == ("order.paid", "order-1")
    with pytest.raises(ReplayError, match="its source gone is not in the configuration, or is wrong there"):
        await replayer(store).route_again(delivery.event_id)


# -- what had no destination ----------------------------------------------------------------------------


@on_virtual_time
async def test_a_quarantined_request_that_can_be_read_by_now_is_sent_anew_and_done_with() -> None:
    store = MemoryStore()
    await store.append([make_quarantined(1, body=b'{"id": "1", "key": "k"}')])
    (quarantined,) = await all_deliveries(store)
    (done,) = await replayer(store).replay([quarantined])
    assert (done.delivery_id, done.state, done.error) == (quarantined.id, State.SCHEDULED, None)
    made = await store.event(done.event_id)
    assert made is not None
    assert (made.event.parent, made.event.key) == (quarantined.event_id, "k")
    assert [each.destination for each in made.deliveries] == ["crm"]
    old = await store.delivery(quarantined.id)
    (action,) = (await store.history(quarantined.id)).actions
    assert old is not None
    assert (old.state, action.why) == (State.DISCARDED, f"read again as event {made.event.id}")


@on_virtual_time
async def test_a_quarantined_request_that_still_cannot_be_read_stays_dead_and_says_so() -> None:
    store = MemoryStore()
    await store.append([make_quarantined(1), make_append(2)])
    (quarantined, _) = await all_deliveries(store)
    (done,) = await replayer(store).replay([quarantined])
    assert done.state is None
    assert done.error is not None
    assert "send it with --edit FILE" in done.error
    assert await store.delivery(quarantined.id) == quarantined


@on_virtual_time
async def test_a_quarantined_request_can_be_mended_and_is_routed_by_what_it_says_then() -> None:
    store = MemoryStore()
    await store.append([make_quarantined(1)])
    (quarantined,) = await all_deliveries(store)
    routes = [Route("shop", ("chat",), lambda document: document.get("type") == "Text")]
    made = await store.event((await replayer(store, *routes).edit(quarantined.id, b'{"type": "Text"}')).id)
    assert made is not None
    assert [each.destination for each in made.deliveries] == ["chat"]


@on_virtual_time
async def test_an_unrouted_event_goes_where_todays_routes_want_it() -> None:
    store = MemoryStore()
    await store.append([make_append(1, to=())])
    event_id = make_append(1).event.id
    assert await replayer(store).by_id(event_id) == ()
    with pytest.raises(ReplayError, match=r"no route of source shop wants it; add a \[\[routes\]\] entry"):
        await replayer(store, Route("other", ("crm",))).route_again(event_id)
    made = await replayer(store).route_again(event_id)
    assert (made.parent, made.body) == (event_id, make_append(1).event.body)
    sender = ScriptedSender()
    async with Works(store, crm=sender):
        await settle_down()
        assert [sent.event_id for sent in sender.sent] == [made.id]


@on_virtual_time
async def test_a_replay_is_never_taken_for_a_redelivery() -> None:
    store = MemoryStore()
    (delivery,) = await dead(store, dedup=b"1")
    replay = replayer(store)
    made = {(await replay.edit(delivery.id, b'{"id": "1"}')).id for _ in range(3)}
    assert len(made) == 3
    assert (await store.counts()).events == 4
    (same,) = await store.append([make_append(9, dedup=b"1")])
    assert same.event_id == delivery.event_id
