"""`stream`: what happens now, as server-sent events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.live import Live
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.operators.api.queries import Moment, known, moment
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.known import as_stored

COME_BACK_S = 10
STREAM = {"schema": {"type": "string"}}


def router(services: Services, live: Live) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["gateway"])

    @api.get(
        "/stream",
        response_class=StreamingResponse,
        responses={
            200: {"description": "Server-sent events.", "content": {"text/event-stream": STREAM}},
            429: {"description": "As many listen as there is room for; Retry-After says when to ask again."},
        },
        summary="What happens now, as server-sent events",
    )
    async def stream(
        _who: Viewer,
        source: Annotated[str | None, Query(description="`activity` of this source alone.")] = None,
        destination: Annotated[str | None, Query(description="`activity` of this destination alone.")] = None,
        since: Annotated[
            Moment, Query(description="Begin with what has happened since, up to 2,000 of each kind.")
        ] = None,
        last_event_id: Annotated[
            str | None, Header(description="The `id` heard last: what came after it is sent first.", max_length=100)
        ] = None,
    ) -> Any:
        """`activity`: a row as `longstop tail --json` has it. `counts`: the numbers of `status`, when they change.

        `job`: a job that changed. `ping`: every 15 s. `missed`: more happened since `Last-Event-ID` than is kept; what
        is shown has to be loaded anew. The stream ends when the gateway stops.
        """
        wanted = as_stored(destination)
        await known(services, source, wanted)
        if live.is_full:
            detail = "as many listen as there is room for, or the gateway stops"
            raise ProblemError(429, detail, headers={"retry-after": str(COME_BACK_S)})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        messages = live.listen(source, wanted, last_event_id, moment("query.since", since, services.clock.now_ms()))
        return StreamingResponse(messages, headers=headers, media_type="text/event-stream")

    return api
