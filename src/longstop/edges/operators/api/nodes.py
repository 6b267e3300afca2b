"""`GET nodes`: the processes that accept and deliver."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.paging import Items
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.status import node_row


class Node(BaseModel):
    """A process that accepts or delivers."""

    name: str = Field(description="Its host and process id.", examples=["gw-1:4711"])
    roles: list[str] = Field(examples=[["ingest", "work"]])
    version: str
    started_at: str
    seen_at: str = Field(description="When it was last heard of.")
    running: bool = Field(description="It was heard of within 20 s.")


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["gateway"])

    @api.get("/nodes", response_model=Items[Node], summary="The processes on this store")
    async def nodes(_who: Viewer) -> Any:
        now_ms = services.clock.now_ms()
        return {"items": [node_row(each, now_ms) for each in await services.store.nodes()]}

    return api
