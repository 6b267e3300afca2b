"""`deliveries`: one event for one destination."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from longstop.client.models import Attempt, Delivery, DeliveryDetail, Items
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.queries import delivery_filter
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.deliveries import delivery_row
from longstop.edges.rows.events import action_row, attempt_row
from longstop.edges.rows.found import find_delivery
from longstop.edges.rows.values import Row
from longstop.edges.rows.waiting import NOT, why_each_waits
from longstop.model.delivery import Delivery as KeptDelivery
from longstop.model.listing import DeliveryFilter, Listing


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

    return api


async def listed(services: Services, found: Listing[KeptDelivery]) -> Row:
    """A page of deliveries."""
    waits = await why_each_waits(services, found.rows)
    return items((delivery_row(each, waits.get(each.id, NOT)) for each in found.rows), found)


async def shown(services: Services, delivery: KeptDelivery) -> Row:
    """A delivery, and what people decided about it."""
    waits = await why_each_waits(services, [delivery])
    history = await services.store.history(delivery.id)
    actions = [action_row(each) for each in history.actions]
    return {**delivery_row(delivery, waits.get(delivery.id, NOT)), "actions": actions}
