"""`keys/{key}`: everything that belongs together, a conversation say, across sources and destinations."""

from typing import Any

from fastapi import APIRouter

from longstop.client.models import Conversation, EventWithHistory
from longstop.edges.desk.lookups import with_histories
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.paging import PageFromTheOldest, items
from longstop.edges.operators.api.services import Services
from longstop.model.listing import EventFilter


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/keys", tags=["keys"])

    @api.get("/{key:path}", response_model=Conversation, summary="All events of a key, with every attempt")
    async def key(_who: Viewer, key: str, page: PageFromTheOldest) -> Any:
        found = await services.store.find_events(EventFilter(key=key), page)
        rows = await with_histories(services, found.rows)
        return await items(services, EventWithHistory, rows, found, key=key)

    return api
