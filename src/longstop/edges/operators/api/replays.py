"""`POST events/{id}/replay`: an event once more, to its destinations, to others, or edited; first as a dry run."""

import asyncio
import base64
import binascii
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from longstop.client.models import ReplayPlan, Results
from longstop.edges.operators.api.access import Decider
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.problems import ProblemError, invalid
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.deliveries import result_row
from longstop.edges.rows.edits import body_diff
from longstop.edges.rows.events import event_row
from longstop.edges.rows.ids import meant
from longstop.edges.rows.values import Row
from longstop.model.listing import KeptEvent
from longstop.operating.replay import EditPlan
from longstop.operating.replay_event import EventReplay, Sent, plan_event, send_event

WHY_CHARS_MAX = 2_000
"""Characters of a reason."""
DIFF_BYTES_MAX = 128 * 1024
"""Two bodies that are larger together are not compared: that takes the square of their lines."""


class Why(StrictBody):
    """A decision, with the reason that is kept with the caller's name."""

    why: str | None = Field(default=None, max_length=WHY_CHARS_MAX, examples=["the CRM is back"])


class ReplayEvent(Why):
    """How an event is sent again."""

    to: list[str] = Field(default=[], max_length=100, description="Only to these destinations; else to its own.")
    body: str | None = Field(default=None, description="This in the place of its body, as a new event.")
    body_base64: str | None = Field(default=None, description="The same, for what is no text.")
    dry_run: bool = Field(default=False, description="Change nothing; say what would be done.")

    def new_body(self) -> bytes | None:
        """What stands in the place of the body; None: the kept one. Raises a problem."""
        if self.body is not None and self.body_base64 is not None:
            raise invalid("body.body_base64", None, "found `body` beside it; expected one of the two")
        if self.body_base64 is None:
            return None if self.body is None else self.body.encode()
        try:
            return base64.b64decode(self.body_base64, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("body.body_base64", self.body_base64[:50], "expected base64") from None


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/events", tags=["events"])

    @api.post(
        "/{id}/replay",
        response_model=Results,
        status_code=202,
        responses={200: {"model": ReplayPlan, "description": "With `dry_run`: what it would come to."}},
        summary="Send an event again: to its destinations, to others, or edited",
    )
    async def replay(who: Decider, id: str, asked: ReplayEvent, once: CarriedOut) -> Any:
        """Without `to` and a body: its dead deliveries, or else all that have ended, start a new round.

        A destination that it never went to gets a new event whose parent it is; so does an edited body. An event that
        no route wanted goes where today's routes want it.
        """
        body = asked.new_body()
        _expect_configured(services, asked.to)
        service = services.replay(who)

        async def plan() -> EventReplay:
            return await plan_event(services.store, service, await meant(services, id), asked.to, body)

        async def dry() -> Row:
            planned = await plan()
            if body is not None and planned.anew is not None:
                # What is taken away of it, the difference shows.
                await services.bodies(who).note("event", planned.anew.parent.id, by="difference")
            return await _plan_row(services, planned, body is not None)

        async def send() -> Row:
            return await _results(services, await send_event(service, await plan(), asked.why))

        return await once(ReplayPlan, dry) if asked.dry_run else await once(Results, send, 202)

    return api


def _expect_configured(services: Services, to: list[str]) -> None:
    known = [each.name for each in services.config.destinations]
    for place, name in enumerate(to):
        if name not in known:
            raise invalid(f"body.to.{place}", name, f"expected one of: {', '.join(known) or '(there is none)'}")


async def _plan_row(services: Services, plan: EventReplay, edited: bool) -> Row:
    # Made and read by services, for whom nothing is hidden.
    kept = [services.shown.delivery(each) for each in plan.again]
    again = [
        {
            "destination": each.destination,
            "lane": services.router.lane(each.source, each.destination, each.key),
            "changed": False,
        }
        for each in kept
    ]
    if plan.anew is None:
        first = kept[0]
        return {"would": again, "type": first.type, "key": first.key, "replaces": [], "diff": None}
    went_to = {each.destination for each in plan.anew.replaces} or await _destinations_of(services, plan.anew)
    anew = [
        {"destination": each.destination, "lane": each.lane, "changed": each.destination not in went_to}
        for each in map(services.shown.delivery, plan.anew.append.deliveries)
    ]
    event = services.shown.event(plan.anew.append.event)
    return {
        "would": [*again, *anew],
        "type": event.type,
        "key": event.key,
        "replaces": [each.id for each in plan.anew.replaces],
        "diff": await _diff(plan.anew) if edited else None,
    }


async def _destinations_of(services: Services, plan: EditPlan) -> set[str]:
    kept = await services.store.event(plan.parent.id)
    return {each.destination for each in kept.deliveries} if kept else set()


async def _diff(plan: EditPlan) -> list[str] | None:
    old, new = plan.parent.body, plan.append.event.body
    if len(old) + len(new) > DIFF_BYTES_MAX:
        return None
    # In a thread: senders should not wait for it.
    return await asyncio.to_thread(body_diff, old, new)


async def _results(services: Services, sent: Sent) -> Row:
    errors = [each.error for each in sent.done if each.error is not None]
    if errors and len(errors) == len(sent.done):
        raise ProblemError(409, "; ".join(errors))
    kept: KeptEvent | None = await services.store.event(sent.event.id) if sent.event else None
    return {
        "items": [result_row(each.delivery_id, each.event_id, each.state, each.error) for each in sent.done],
        "event": event_row(kept) if kept else None,
    }
