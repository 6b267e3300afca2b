"""`events`: what was accepted, its body, and how a destination gets it."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from longstop.client.models import Body, Event, EventDetail, Items, Text
from longstop.edges.desk.lookups import event_detail, event_rows, find_events
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.curl import as_curl
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.queries import AskedEvents, event_filter
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.found import find_event
from longstop.edges.rows.values import Row
from longstop.model.listing import History, KeptEvent

AttachmentHeaders = {
    "x-content-type-options": "nosniff",
    # Opened all the same, it is a page that may do nothing.
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "no-store",
}


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/events", tags=["events"])

    @api.get("", response_model=Items[Event], summary="What was accepted")
    async def events(_who: Viewer, wanted: Annotated[AskedEvents, Depends(event_filter)], page: AskedPage) -> Any:
        """With `state` or `destination`: those that have such a delivery, each once a page."""
        found, events = await find_events(services, *wanted, page)
        return await items(services, Event, await event_rows(services, events), found)

    @api.get("/{id}", response_model=EventDetail, summary="One event, and all that was done with it")
    async def event(_who: Viewer, id: str) -> Any:
        """The id may be a delivery's, too. The body is at `events/{id}/body`."""
        return await shown(services, *await find_event(services, id))

    @api.get(
        "/{id}/body",
        summary="The body, exactly as sent",
        responses={200: {"model": Body, "content": {"application/octet-stream": {}}}},
        response_class=Response,
    )
    async def body(
        who: Viewer,
        id: str,
        view: Annotated[Literal["raw", "json"], Query(description="json: as text or base64, for showing.")] = "raw",
    ) -> Any:
        """Without the scope `bodies` masked fields are hidden, and what is neither JSON nor a form is refused."""
        kept, _, _ = await find_event(services, id)
        bodies = services.bodies(who)
        shown = await bodies.shown(kept.event)
        if view == "json":
            return Response(body_shown(shown, bodies.hides).model_dump_json(), media_type="application/json")
        named = {"content-disposition": f'attachment; filename="{kept.event.id}.bin"'}
        return Response(shown, headers=AttachmentHeaders | named, media_type="application/octet-stream")

    @api.get("/{id}/curl", response_model=Text, summary="A command that sends it as a destination gets it")
    async def curl(
        who: Viewer,
        id: str,
        destination: Annotated[str | None, Query(description="Else the first of its deliveries'.")] = None,
    ) -> Any:
        """No credential is in it."""
        kept, _, _ = await find_event(services, id)
        shown = replace(kept.event, body=await services.bodies(who).shown(kept.event))
        return {"text": as_curl(services.config, replace(kept, event=shown), destination)}

    return api


async def shown(services: Services, kept: KeptEvent, histories: Sequence[History], archived_in: str | None) -> Row:
    """An event whole, but for its body."""
    row = await event_detail(services, kept, histories, archived_in)
    del row["body"], row["body_base64"]
    return row


def body_shown(body: bytes, masked: bool) -> Body:
    """A body for showing."""
    try:
        return Body(text=body.decode(), base64=None, masked=masked)
    except UnicodeDecodeError:
        return Body(text=None, base64=base64.b64encode(body).decode(), masked=masked)
