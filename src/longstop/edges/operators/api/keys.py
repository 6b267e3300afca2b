"""`keys/{key}`: everything that belongs together, a conversation say, across sources and destinations."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from longstop.client.models import Conversation, EventWithHistory
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.paging import PageFromTheOldest, items
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.events import event_row, history_row
from longstop.edges.rows.values import Row
from longstop.edges.rows.waiting import Waits, why_they_wait
from longstop.model.listing import EventFilter, KeptEvent


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/keys", tags=["keys"])

    @api.get("/{key:path}", response_model=Conversation, summary="All events of a key, with every attempt")
    async def key(_who: Viewer, key: str, page: PageFromTheOldest) -> Any:
        found = await services.store.find_events(EventFilter(key=key), page)
        waits = await why_they_wait(services, found.rows)
        rows = [await _with_history(services, kept, waits) for kept in found.rows]
        return await items(services, EventWithHistory, rows, found, key=key)

    return api


async def _with_history(services: Services, kept: KeptEvent, waits: Mapping[str, Waits]) -> Row:
    histories = [history_row(each, await services.store.history(each.id)) for each in kept.deliveries]
    return {**event_row(kept, waits), "history": histories}
