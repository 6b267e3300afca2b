"""What people decide: select, preview, send again; or discard, with a reason.

A replay gives a delivery a new round with a fresh budget. Two things are sent again as *new* events whose
parent is the kept one, because nothing kept is ever changed: an edited body, and an event that was never
given to a destination (quarantined or unrouted), which is read and routed anew under today's configuration.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from longstop.model.action import Action
from longstop.model.append import Append, initial_deliveries
from longstop.model.delivery import Delivery, State, Transition, Trigger
from longstop.model.errors import BodyTooLargeError, LongstopError, MalformedError, NotFoundError
from longstop.model.event import Event, Headers, Origin
from longstop.model.exchange import Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.listing import DeliveryFilter, KeptEvent, Page
from longstop.model.routing import Router, Target
from longstop.ports import Clock, Source, Store

SAMPLE = 10
AT_ONCE = 500
"""How many deliveries are listed, or acted on, in one go."""


class ReplayError(LongstopError):
    """This cannot be sent again as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a selection holds: how many deliveries, and the first few."""

    count: int
    sample: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one selected delivery: its state now, or why nothing was done."""

    delivery_id: str
    event_id: str
    """The event that is sent: the delivery's own, or the new one that was made."""
    state: State | None
    error: str | None = None


class Replay:
    """Replays and discards, on behalf of the person `by`."""

    def __init__(
        self, store: Store, sources: Mapping[str, Source], router: Router, clock: Clock, ids: IdFactory, by: str
    ) -> None:
        self._store = store
        self._sources = sources
        self._router = router
        self._clock = clock
        self._ids = ids
        self._by = by

    async def select(self, wanted: DeliveryFilter) -> AsyncIterator[Delivery]:
        """The deliveries that a filter selects, oldest first."""
        after: str | None = None
        while True:
            listing = await self._store.find_deliveries(wanted, Page(AT_ONCE, after, newest_first=False))
            for delivery in listing.rows:
                yield delivery
            after = listing.next_after
            if after is None:
                return

    async def preview(self, wanted: DeliveryFilter) -> Preview:
        """How many deliveries a filter selects, and the oldest of them."""
        count = 0
        sample: list[Delivery] = []
        async for delivery in self.select(wanted):
            count += 1
            if len(sample) < SAMPLE:
                sample.append(delivery)
        return Preview(count, tuple(sample))

    async def by_id(self, id_: str) -> tuple[Delivery, ...]:
        """What a person means by an id: the delivery; of an event its dead deliveries, or else all that have ended.

        Empty for an event that no route wanted. Raises NotFoundError.
        """
        delivery = await self._store.delivery(id_)
        if delivery is not None:
            return (delivery,)
        kept = await self._event(id_)
        dead = tuple(each for each in kept.deliveries if each.state is State.DEAD)
        return dead or tuple(each for each in kept.deliveries if each.ended_at_ms is not None)

    async def replay(
        self, deliveries: Sequence[Delivery], rate_per_s: float | None = None, offset: int = 0
    ) -> list[Done]:
        """Start a new round for each delivery.

        With a rate they come due one after the other, so that the workers keep it and nobody has to wait
        here; `offset` is how many of the same selection went before this call.
        """
        now_ms = self._clock.now_ms()
        done: list[Done] = []
        actions: list[Action] = []
        for place, delivery in enumerate(deliveries, offset):
            if not delivery.destination:
                done.append(await self._read_again(delivery))
                continue
            due_at_ms = now_ms + (round(place * 1000 / rate_per_s) if rate_per_s else 0)
            lane = self._router.lane(delivery.source, delivery.destination, delivery.key)
            actions.append(Action(delivery.id, Transition(Trigger.REPLAY, now_ms, due_at_ms, lane=lane), self._by))
        return done + await self._act(actions)

    async def discard(self, deliveries: Sequence[Delivery], why: str) -> list[Done]:
        """Give up on each delivery, for a reason that is recorded."""
        transition = Transition(Trigger.DISCARD, self._clock.now_ms())
        return await self._act([Action(each.id, transition, self._by, why) for each in deliveries])

    async def edit(self, id_: str, body: bytes) -> Event:
        """Send a new event with this body in place of a kept one; the kept one stays as it is.

        It goes where the delivery went, or for an event's id to its dead deliveries' destinations (or else all of
        its destinations); one that had none yet is routed by what the new body says.
        Raises NotFoundError, and ReplayError where the new body cannot be read.
        """
        delivery = await self._store.delivery(id_)
        kept = await self._event(delivery.event_id if delivery else id_)
        # A person edits text: whatever the old body was packed with, the new one is not.
        plain = Headers((name, value) for name, value in kept.event.headers if name.lower() != "content-encoding")
        old = replace(kept.event, headers=plain)
        targets = (delivery,) if delivery else await self.by_id(id_) or kept.deliveries
        return await self._send_anew(old, body, {each.destination: Target() for each in targets if each.destination})

    async def route_again(self, id_: str) -> Event:
        """Send an event that no route wanted, as a new one, where today's routes want it.

        Raises ReplayError where they still do not.
        """
        kept = await self._event(id_)
        return await self._send_anew(kept.event, kept.event.body, {})

    async def _event(self, id_: str) -> KeptEvent:
        kept = await self._store.event(id_)
        if kept is None:
            raise NotFoundError(f"no event or delivery has the id {id_}; longstop events list and dead list show ids")
        return kept

    async def _read_again(self, delivery: Delivery) -> Done:
        """Send a quarantined request anew, if it can be read by now; then the quarantined one is done with."""
        try:
            event = await self.route_again(delivery.event_id)
        except ReplayError as error:
            return Done(delivery.id, delivery.event_id, None, str(error))
        discard = Transition(Trigger.DISCARD, self._clock.now_ms())
        await self._store.act([Action(delivery.id, discard, self._by, f"read again as event {event.id}")])
        return Done(delivery.id, event.id, State.SCHEDULED)

    async def _send_anew(self, old: Event, body: bytes, destinations: dict[str, Target]) -> Event:
        """destinations: where it goes, at once: in a lane it would wait behind the dead one whose place it takes.

        None of them: where today's routes want it.
        """
        reading = self._read(old, body, bool(destinations))
        now_ms = self._clock.now_ms()
        event = replace(
            old,
            id=self._ids.make(now_ms),
            received_at_ms=now_ms,
            body=body,
            type=reading.type,
            key=reading.key,
            # No dedup key: what a person sends again is never taken for a redelivery.
            dedup=None,
            origin=Origin.REPLAY,
            parent=old.id,
            occurred_at_ms=reading.occurred_at_ms,
        )
        destinations = destinations or self._router.destinations(event.source, reading, event.headers)
        if not destinations:
            raise ReplayError(f"event {old.id}: no route of source {old.source} wants it; add a [[routes]] entry")
        deliveries = initial_deliveries(event, destinations, lambda: self._ids.make(now_ms))
        await self._store.append([Append(event, deliveries)])
        return event

    def _read(self, old: Event, body: bytes, routed: bool) -> Reading:
        source = self._sources.get(old.source)
        if source is None:
            if routed:
                return Reading(type=old.type, key=old.key, occurred_at_ms=old.occurred_at_ms)
            raise ReplayError(
                f"event {old.id}: its source {old.source} is not in the configuration, or is wrong there; "
                "`longstop check` says more"
            )
        try:
            return source.read(Request(old.headers, body))
        except (MalformedError, BodyTooLargeError) as error:
            raise ReplayError(f"event {old.id}: {error}; send it with --edit FILE, a body that can be read") from None

    async def _act(self, actions: Sequence[Action]) -> list[Done]:
        done: list[Done] = []
        for start in range(0, len(actions), AT_ONCE):
            batch = actions[start : start + AT_ONCE]
            for action, now in zip(batch, await self._store.act(batch), strict=True):
                done.append(await self._result(action, now))
        return done

    async def _result(self, action: Action, now: Delivery | None) -> Done:
        if now is not None:
            return Done(now.id, now.event_id, now.state)
        found = await self._store.delivery(action.delivery_id)
        if found is None:
            return Done(action.delivery_id, "", None, "no such delivery")
        error = f"it is {found.state}, and a delivery that is {found.state} cannot {action.transition.trigger}"
        return Done(found.id, found.event_id, None, error)
