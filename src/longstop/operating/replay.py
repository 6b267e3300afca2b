"""What people decide: select, preview, send again, hurry what waits; or discard, with a reason.

A replay gives a delivery a new round with a fresh budget. Two things are sent again as *new* events whose
parent is the kept one, because nothing kept is ever changed: an edited body, and an event that was never
given to a destination (quarantined or unrouted), which is read and routed anew under today's configuration.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from longstop.model.action import Action, Edit
from longstop.model.append import Append, initial_deliveries
from longstop.model.audit import AuditAction
from longstop.model.caller import Scope
from longstop.model.delivery import Delivery, State, Transition, Trigger, Wait
from longstop.model.errors import BodyTooLargeError, HiddenError, LongstopError, MalformedError, NotFoundError
from longstop.model.event import Event, Headers, Origin
from longstop.model.exchange import Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.listing import DeliveryFilter, KeptEvent, Page
from longstop.model.routing import Router, Target
from longstop.operating.audit import Auditor
from longstop.operating.masking import HIDDEN, refuse_contents
from longstop.operating.survey import Survey, Tally
from longstop.ports import Clock, Source, Store

AT_ONCE = 500
"""How many deliveries are listed, or acted on, in one go."""

_DEAD = frozenset({State.DEAD})
_WAITING = frozenset({State.SCHEDULED})
_ENDED = frozenset({State.DELIVERED, State.DEAD, State.DISCARDED})
DEAD_OR_ENDED = (_DEAD, _ENDED)
"""What an event's id stands for where it is sent again: what is dead of it, or else all that has ended."""
DEAD_OR_WAITING = (_DEAD, _WAITING)
"""The same where it is given up."""
WAITING = (_WAITING,)
"""The same where it is expedited."""


_ONLY = {
    Trigger.REPLAY: "only what has ended is sent again",
    Trigger.DISCARD: "only what is dead or waits is given up",
    Trigger.EXPEDITE: "only what waits can be expedited",
}


class ReplayError(LongstopError):
    """This cannot be sent again as asked; the message says why and what to do."""


class UnreadableError(ReplayError):
    """The body that is to be sent cannot be read."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one selected delivery: its state now, or why nothing was done."""

    delivery_id: str
    event_id: str
    """The event that is sent: the delivery's own, or the new one that was made."""
    state: State | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class EditPlan:
    """An event to be sent in the place of a kept one."""

    parent: Event
    append: Append
    """The new event and its deliveries."""
    replaces: tuple[Delivery, ...]
    """Those of the kept one that it takes the place of."""


def read_again_as(event: Event) -> str:
    """Why a quarantined delivery is done with."""
    return f"read again as event {event.id}"


class Replay:
    """Replays, discards, expedites and edits, on behalf of the person `by`.

    auditor: notes it, and knows what this person may see; None: it has been noted, as a job that was asked for is.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        router: Router,
        clock: Clock,
        ids: IdFactory,
        by: str,
        auditor: Auditor | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._router = router
        self._clock = clock
        self._ids = ids
        self._by = by
        self._auditor = auditor

    async def select(self, wanted: DeliveryFilter, including_edited: bool = True) -> AsyncIterator[Delivery]:
        """The deliveries that a filter selects, oldest first.

        including_edited: also those in whose place a person sent an edited event. Raises HiddenError.
        """
        if self._auditor is not None and not self._auditor.caller.may(Scope.BODIES):
            refuse_contents(wanted)
        after: str | None = None
        while True:
            listing = await self._store.find_deliveries(wanted, Page(AT_ONCE, after, newest_first=False))
            for delivery in listing.rows:
                if including_edited or delivery.replaced_by is None:
                    yield delivery
            after = listing.next_after
            if after is None:
                return

    async def preview(self, wanted: DeliveryFilter, including_edited: bool = True) -> Survey:
        """What a filter selects."""
        tally = Tally()
        async for delivery in self.select(wanted, including_edited):
            tally.add(delivery)
        return tally.survey()

    async def by_id(self, id_: str, prefer: Sequence[frozenset[State]] = DEAD_OR_ENDED) -> tuple[Delivery, ...]:
        """What a person means by an id: the delivery; of an event those in the first of these states that it has any.

        Empty where it has none in any of them. Raises NotFoundError.
        """
        delivery = await self._store.delivery(id_)
        if delivery is not None:
            return (delivery,)
        kept = await self._event(id_)
        chosen = (tuple(each for each in kept.deliveries if each.state in states) for states in prefer)
        return next((each for each in chosen if each), ())

    async def replay(
        self,
        deliveries: Sequence[Delivery],
        rate_per_s: float | None = None,
        offset: int = 0,
        why: str | None = None,
    ) -> list[Done]:
        """Start a new round for each delivery.

        With a rate they come due one after the other, so that the workers keep it and nobody has to wait
        here; `offset` is how many of the same selection went before this call.
        """
        await self._note(AuditAction.DELIVERY_REPLAY, deliveries, why)
        now_ms = self._clock.now_ms()
        done: list[Done] = []
        actions: list[Action] = []
        for place, delivery in enumerate(await self._whole(deliveries), offset):
            if not delivery.destination:
                done.append(await self._read_again(delivery, why))
                continue
            due_at_ms = now_ms + (round(place * 1000 / rate_per_s) if rate_per_s else 0)
            actions.append(self.again(delivery, due_at_ms, why))
        return done + await self._act(actions)

    def again(self, delivery: Delivery, due_at_ms: int, why: str | None) -> Action:
        """The decision that a delivery goes out once more, at this time."""
        now_ms = self._clock.now_ms()
        lane = self._router.lane(delivery.source, delivery.destination, delivery.key)
        wait = Wait.REPLAY if due_at_ms > now_ms else None
        transition = Transition(Trigger.REPLAY, now_ms, due_at_ms, lane=lane, wait=wait)
        return Action(delivery.id, transition, self._by, why)

    def give_up(self, delivery: Delivery, why: str | None) -> Action:
        """The decision that it does not."""
        return Action(delivery.id, Transition(Trigger.DISCARD, self._clock.now_ms()), self._by, why)

    async def expedite(self, deliveries: Sequence[Delivery], why: str | None = None) -> list[Done]:
        """Have each delivery that waits tried at once. One that is held still waits for those before it."""
        await self._note(AuditAction.DELIVERY_EXPEDITE, deliveries, why)
        now_ms = self._clock.now_ms()
        transition = Transition(Trigger.EXPEDITE, now_ms, due_at_ms=now_ms)
        return await self._act([Action(each.id, transition, self._by, why) for each in deliveries])

    async def discard(self, deliveries: Sequence[Delivery], why: str) -> list[Done]:
        """Give up on each delivery, for a reason that is recorded."""
        await self._note(AuditAction.DELIVERY_DISCARD, deliveries, why)
        return await self._act([self.give_up(each, why) for each in deliveries])

    async def plan_edit(self, id_: str, body: bytes, to: Sequence[str] = ()) -> EditPlan:
        """What `edit` would do. Nothing is kept. Raises as it does. to: to these destinations instead."""
        if self._auditor is not None and not self._auditor.caller.may(Scope.BODIES):
            raise HiddenError("whoever edits a body sees it: that takes the scope bodies")
        delivery = await self._store.delivery(id_)
        kept = await self._event(delivery.event_id if delivery else id_)
        # A person edits text: whatever the old body was packed with, the new one is not.
        plain = Headers((name, value) for name, value in kept.event.headers if name.lower() != "content-encoding")
        targets = (delivery,) if delivery else await self.by_id(id_) or kept.deliveries
        if to:
            targets = tuple(each for each in targets if each.destination in ("", *to))
        destinations = {name: Target() for name in to or [each.destination for each in targets if each.destination]}
        append = self._anew(replace(kept.event, headers=plain), body, destinations)
        return EditPlan(kept.event, append, targets)

    async def edit(self, id_: str, body: bytes, why: str | None = None) -> Event:
        """Send a new event with this body in place of a kept one; the kept one stays as it is.

        It goes where the delivery went, or for an event's id to its dead deliveries' destinations (or else all of
        its destinations); one that had none yet is routed by what the new body says.
        Raises NotFoundError, and ReplayError where the new body cannot be read.
        """
        return await self.carry_out(await self.plan_edit(id_, body), why)

    async def plan_elsewhere(self, id_: str, to: Sequence[str] = ()) -> EditPlan:
        """A new event with the body of a kept one, which stays as it is, for destinations that it never went to.

        None of them: where today's routes want it. Nothing is kept. Raises NotFoundError, ReplayError.
        """
        delivery = await self._store.delivery(id_)
        old = (await self._event(delivery.event_id if delivery else id_)).event
        destinations = {name: Target(lane=self._router.lane(old.source, name, old.key)) for name in to}
        return EditPlan(old, self._anew(old, old.body, destinations), ())

    async def route_again(self, id_: str, why: str | None = None) -> Event:
        """Send an event that no route wanted, as a new one, where today's routes want it.

        Raises ReplayError where they still do not.
        """
        return await self.carry_out(await self.plan_again(id_), why)

    async def plan_again(self, id_: str) -> EditPlan:
        """What `route_again` would do. Nothing is kept. Raises as it does."""
        kept = await self._event(id_)
        return EditPlan(kept.event, self._anew(kept.event, kept.event.body, {}), ())

    async def _event(self, id_: str) -> KeptEvent:
        kept = await self._store.event(id_)
        if kept is None:
            raise NotFoundError(f"no event or delivery has the id {id_}; longstop events list and dead list show ids")
        return kept

    async def _read_again(self, delivery: Delivery, why: str | None) -> Done:
        """Send a quarantined request anew, if it can be read by now; then the quarantined one is done with."""
        try:
            event = await self.route_again(delivery.event_id, why)
        except ReplayError as error:
            return Done(delivery.id, delivery.event_id, None, str(error))
        await self._store.act([self.give_up(delivery, read_again_as(event))])
        return Done(delivery.id, event.id, State.SCHEDULED)

    def _anew(self, old: Event, body: bytes, destinations: dict[str, Target]) -> Append:
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
        wanted = destinations or self._router.destinations(event.source, reading, event.headers)
        if not wanted:
            raise ReplayError(f"event {old.id}: no route of source {old.source} wants it; add a [[routes]] entry")
        return Append(event, initial_deliveries(event, wanted, lambda: self._ids.make(now_ms)))

    async def carry_out(self, plan: EditPlan, why: str | None = None) -> Event:
        """Keep the new event and the record of who sent it and why; it is delivered as any other."""
        if self._auditor is not None:
            new = plan.append.event.id
            await self._auditor.note(AuditAction.EVENT_EDIT, "event", plan.parent.id, why=why, new=new)
        await self._store.replace(plan.append, self.record(plan, why), [each.id for each in plan.replaces])
        return plan.append.event

    def record(self, plan: EditPlan, why: str | None) -> Edit:
        """The record of who sends the new event in the place of the kept one."""
        event = plan.append.event
        return Edit(event.id, plan.parent.id, event.received_at_ms, self._by, why)

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
            hint = "send it with --edit FILE, a body that can be read"
            raise UnreadableError(f"event {old.id}: {error}; {hint}") from None

    async def _note(self, action: AuditAction, deliveries: Sequence[Delivery], why: str | None) -> None:
        if self._auditor is not None:
            await self._auditor.note_many(action, "delivery", [each.id for each in deliveries], why=why)

    async def _whole(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries, read anew where they were read for somebody from whom their key is hidden."""
        found = [await self._store.delivery(each.id) if each.key == HIDDEN else each for each in deliveries]
        return [whole or each for whole, each in zip(found, deliveries, strict=True)]

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
        error = f"it is {found.state}; {_ONLY[action.transition.trigger]}"
        return Done(found.id, found.event_id, None, error)
