"""`/dlq`: for those who know dead letter queues from elsewhere. It is `deliveries` with the state `dead`."""

from typing import Any

from fastapi import APIRouter

from longstop.client.models import Delivery, DeliveryDetail, Items, Result
from longstop.edges.operators.api import deliveries
from longstop.edges.operators.api.access import Decider, Viewer
from longstop.edges.operators.api.deliveries import NO_REASON
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage
from longstop.edges.operators.api.replays import Why
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.found import find_delivery
from longstop.edges.rows.values import Row
from longstop.model.delivery import State
from longstop.model.listing import DeliveryFilter


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/dlq", tags=["dlq"])

    @api.get("", response_model=Items[Delivery], summary="What could not be delivered")
    async def dead(_who: Viewer, page: AskedPage) -> Any:
        found = await services.store.find_deliveries(DeliveryFilter(state=State.DEAD), page)
        return await deliveries.listed(services, found)

    @api.get("/{id}", response_model=DeliveryDetail, summary="One of it")
    async def one(_who: Viewer, id: str) -> Any:
        return await deliveries.shown(services, await find_delivery(services, id))

    @api.post("/{id}/retry", response_model=Result, status_code=202, summary="Send it again")
    async def retry(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        async def act() -> Row:
            return await deliveries.replayed(services, who, id, asked.why)

        return await once(Result, act, 202)

    return api
