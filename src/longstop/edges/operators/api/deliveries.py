"""`deliveries`: one event for one destination."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from longstop.client.models import Attempt, Delivery, DeliveryDetail, Items, Result, SentRequest
from longstop.edges.desk.lookups import delivery_rows
from longstop.edges.operators.api.access import Decider, Viewer
from longstop.edges.operators.api.events import body_shown
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.operators.api.queries import delivery_filter
from longstop.edges.operators.api.replays import WHY_CHARS_MAX, Why
from longstop.edges.operators.api.sent_request import sent_request
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.deliveries import result_row
from longstop.edges.rows.events import action_row, attempt_row
from longstop.edges.rows.found import find_delivery, find_event
from longstop.edges.rows.values import Row
from longstop.model.caller import Caller
from longstop.model.delivery import Delivery as KeptDelivery
from longstop.model.listing import DeliveryFilter, Listing
from longstop.operating.replay import Done

NO_REASON = Why()


class BecauseOf(StrictBody):
    """A decision that needs a reason."""

    why: str = Field(
        min_length=1, max_length=WHY_CHARS_MAX, pattern=r"\S", examples=["the order was cancelled by phone"]
    )


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/deliveries", tags=["deliveries"])

    @api.get("", response_model=Items[Delivery], summary="Deliveries, by where they stand and why")
    async def deliveries(
        _who: Viewer, wanted: Annotated[DeliveryFilter, Depends(delivery_filter)], page: AskedPage
    ) -> Any:
        """`since` and `until` select by the end of what is dead, delivered or discarded, else by the arrival."""
        return await listed(services, await services.store.find_deliveries(wanted, page))

    @api.get("/{id}", response_model=DeliveryDetail, summary="One delivery, and what people decided about it")
    async def delivery(_who: Viewer, id: str) -> Any:
        return await shown(services, await find_delivery(services, id))

    @api.get("/{id}/attempts", response_model=Items[Attempt], summary="Every attempt, oldest first")
    async def attempts(_who: Viewer, id: str) -> Any:
        found = await find_delivery(services, id)
        history = await services.store.history(found.id)
        return {"items": [attempt_row(each) for each in history.attempts]}

    @api.get("/{id}/request", response_model=SentRequest, summary="What its destination gets")
    async def request(
        who: Viewer, id: str, attempt: Annotated[int | None, Query(ge=1, description="Else the last.")] = None
    ) -> Any:
        """As the configuration in force now has it. No credential is in it."""
        found = await find_delivery(services, id)
        kept, _, _ = await find_event(services, found.event_id)
        history = await services.store.history(found.id)
        bodies = services.bodies(who)
        body = body_shown(await bodies.shown(kept.event), bodies.hides)
        return sent_request(services.config, kept.event, found, history.attempts, attempt, body)

    return api


def deciding_router(services: Services) -> APIRouter:
    """What is decided about one delivery."""
    api = APIRouter(prefix="/deliveries", tags=["deliveries"])

    @api.post("/{id}/replay", response_model=Result, status_code=202, summary="Send it again, with a fresh budget")
    async def replay(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        """What has ended starts a new round. A quarantined request is read and routed anew, as a new event."""

        async def act() -> Row:
            return await replayed(services, who, id, asked.why)

        return await once(Result, act, 202)

    @api.post("/{id}/discard", response_model=Result, summary="Give it up, for a reason")
    async def discard(who: Decider, id: str, asked: BecauseOf, once: CarriedOut) -> Any:
        """What is dead or waits is not tried any more. A replay takes that back."""

        async def act() -> Row:
            found = await find_delivery(services, id)
            return _result(await services.replay(who).discard([found], asked.why))

        return await once(Result, act)

    @api.post("/{id}/expedite", response_model=Result, status_code=202, summary="Have it tried now")
    async def expedite(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        """What waits is due at once. One that is held still waits for those before it."""

        async def act() -> Row:
            found = await find_delivery(services, id)
            return _result(await services.replay(who).expedite([found], asked.why))

        return await once(Result, act, 202)

    return api


async def replayed(services: Services, who: Caller, id_: str, why: str | None) -> Row:
    """Start a new round of one delivery. Raises a problem."""
    found = await find_delivery(services, id_)
    return _result(await services.replay(who).replay([found], why=why))


def _result(done: Sequence[Done]) -> Row:
    (result,) = done
    if result.error is not None:
        raise ProblemError(409, f"delivery {result.delivery_id}: {result.error}")
    return result_row(result.delivery_id, result.event_id, result.state, None)


async def listed(services: Services, found: Listing[KeptDelivery]) -> Response:
    """A page of deliveries."""
    return await items(services, Delivery, await delivery_rows(services, found.rows), found)


async def shown(services: Services, delivery: KeptDelivery) -> Row:
    """A delivery, and what people decided about it."""
    (row,) = await delivery_rows(services, [delivery])
    history = await services.store.history(delivery.id)
    return {**row, "actions": [action_row(each) for each in history.actions]}
