"""`dead-letters/groups`: what is dead, by what it died of."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from longstop.client.models import DeadGroup, DeadGroups
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.answers import as_json, list_of
from longstop.edges.operators.api.paging import LIMIT_MAX
from longstop.edges.operators.api.problems import invalid
from longstop.edges.operators.api.queries import known
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.deliveries import group_row
from longstop.edges.rows.known import as_stored
from longstop.edges.rows.values import rfc3339
from longstop.model.listing import DEAD_STEP_MS, STEPS_MAX, TimeSteps

STEP_MIN_S = DEAD_STEP_MS // 1000
STEP_MAX_S = 86_400


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/dead-letters", tags=["dead letters"])

    @api.get("/groups", response_model=DeadGroups, summary="What is dead, by what it died of, the largest first")
    async def groups(
        _who: Viewer,
        destination: Annotated[str | None, Query(description="Of this one alone; `quarantine`: unreadable.")] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50,
        step: Annotated[
            int,
            Query(ge=STEP_MIN_S, le=STEP_MAX_S, multiple_of=STEP_MIN_S, description="Seconds, of each `over_time`."),
        ] = 3_600,
        steps: Annotated[int, Query(ge=1, le=STEPS_MAX, description="How many of them, up to now.")] = 24,
    ) -> Any:
        wanted = as_stored(destination)
        await known(services, None, wanted)
        try:
            over = TimeSteps.until(services.clock.now_ms(), step * 1000, steps)
        except ValueError as error:
            raise invalid("query.steps", None, str(error)) from None
        found = await services.store.dead_groups(wanted, limit, over)
        around = {"next": None, "searched_to": None, "may_lag": False, "from": rfc3339(over.from_ms), "step_s": step}
        return await list_of(services.clock, "items", as_json(DeadGroup, map(group_row, found)), around)

    return api
