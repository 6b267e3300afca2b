"""`audit`: who did and looked at what. Nothing in it is changed by any route."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from longstop.client.access import AuditEntry
from longstop.client.models import Items
from longstop.edges.operators.api.access import Administrator, Viewer
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.queries import Moment, moment
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.access import audit_row
from longstop.model.audit import AuditAction, AuditFilter
from longstop.model.caller import Scope
from longstop.model.listing import Page

AT_ONCE = 500


async def audit_filter(
    request: Request,
    by: Annotated[str | None, Query(max_length=1_000, description="Of this user or token.")] = None,
    action: Annotated[AuditAction | None, Query(description="Only these.")] = None,
    since: Moment = None,
    until: Moment = None,
) -> AuditFilter:
    """Which entries: since inclusive, until exclusive."""
    services: Services = request.app.state.services
    now_ms = services.clock.now_ms()
    since_ms, until_ms = moment("query.since", since, now_ms), moment("query.until", until, now_ms)
    return AuditFilter(by, action, since_ms, until_ms)


class ToolCall(StrictBody):
    """A tool that an assistant uses."""

    tool: str = Field(min_length=1, max_length=100, pattern=r"^[a-z_]+$", examples=["list_deliveries"])


Wanted = Annotated[AuditFilter, Depends(audit_filter)]


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/audit", tags=["access"])

    @api.get("", response_model=Items[AuditEntry], summary="Who did and looked at what")
    async def audit(who: Viewer, wanted: Wanted, page: AskedPage) -> Any:
        """Where others asked from (`from`) only an admin is told."""
        found = await services.store.audit(wanted, page)
        hidden = {} if who.may(Scope.ADMIN) else {"from": None}
        rows = ({**audit_row(entry), **hidden} for entry in found.rows)
        return await items(services, AuditEntry, rows, found)

    @api.get(
        "/export",
        summary="All of it, one JSON object a line, oldest first",
        responses={200: {"content": {"application/x-ndjson": {}}}},
        response_class=StreamingResponse,
    )
    async def export(who: Administrator, wanted: Wanted) -> StreamingResponse:
        await services.auditor(who).note(AuditAction.AUDIT_EXPORT, "audit", "log")
        return StreamingResponse(
            _lines(services, wanted),
            media_type="application/x-ndjson",
            headers={"content-disposition": 'attachment; filename="audit.ndjson"'},
        )

    return api


def noting_router(services: Services) -> APIRouter:
    """What programs note of themselves: nothing that is there is changed by it."""
    api = APIRouter(prefix="/audit", tags=["access"])

    @api.post("/mcp", status_code=204, summary="Note that an assistant uses a tool on the caller's behalf")
    async def note(who: Viewer, called: ToolCall, once: CarriedOut) -> Response:
        """`longstop mcp` notes every call before it is carried out. What the call does is noted besides."""

        async def act() -> None:
            await services.auditor(who).note(AuditAction.MCP_CALL, "tool", called.tool, via="mcp")

        return await once(None, act, 204)

    return api


async def _lines(services: Services, wanted: AuditFilter) -> AsyncIterator[bytes]:
    after: str | None = None
    while True:
        found = await services.store.audit(wanted, Page(AT_ONCE, after, newest_first=False))
        for entry in found.rows:
            yield json.dumps(audit_row(entry)).encode() + b"\n"
        after = found.next_after
        if after is None:
            return
