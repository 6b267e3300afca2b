"""`dead-letters/groups`: what is dead, by what it died of."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from longstop.client.models import DeadGroup, Items
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.answers import as_json, list_of
from longstop.edges.operators.api.paging import LIMIT_MAX
from longstop.edges.operators.api.queries import known
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.deliveries import group_row
from longstop.edges.rows.known import as_stored


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/dead-letters", tags=["dead letters"])

    @api.get("/groups", response_model=Items[DeadGroup], summary="What is dead, by what it died of, the largest first")
    async def groups(
        _who: Viewer,
        destination: Annotated[str | None, Query(description="Of this one alone; `quarantine`: unreadable.")] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50,
    ) -> Any:
        wanted = as_stored(destination)
        await known(services, None, wanted)
        found = await services.store.dead_groups(wanted, limit)
        nothing_more = {"next": None, "searched_to": None}
        return await list_of(services.clock, "items", as_json(DeadGroup, map(group_row, found)), nothing_more)

    return api
