"""`nodes`: the processes that accept and deliver."""

from typing import Any

from fastapi import APIRouter

from longstop.client.models import Items
from longstop.client.places import Node
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.status import node_row


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["gateway"])

    @api.get("/nodes", response_model=Items[Node], summary="The processes on this store")
    async def nodes(_who: Viewer) -> Any:
        now_ms = services.clock.now_ms()
        return {"items": [node_row(each, now_ms) for each in await services.store.nodes()]}

    return api
