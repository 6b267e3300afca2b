"""`decisions`: replay, discard or expedite what is named by its ids, in one request."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from longstop.client.jobs import RATE_MAX, NamedResults, NamedSurvey
from longstop.edges.desk.decisions import decide_by_ids, survey_ids
from longstop.edges.desk.desk import ByIds
from longstop.edges.operators.api.access import Viewer, expect
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.problems import invalid
from longstop.edges.operators.api.replays import WHY_CHARS_MAX
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.values import Row
from longstop.model.caller import Scope

IDS_MAX = 500
"""Of one request; many more are a job's."""


class DecisionRequest(StrictBody):
    """What is decided about what."""

    action: Literal["replay", "discard", "expedite"]
    ids: list[str] = Field(
        min_length=1,
        max_length=IDS_MAX,
        description="Of events or deliveries, whole or short. An event's stands for its dead deliveries, or where it "
        "has none for all that can be decided on; to replay one that no route wanted is to route it anew.",
    )
    why: str | None = Field(
        default=None, max_length=WHY_CHARS_MAX, description="Kept with the caller's name. A discard needs one."
    )
    rate: float | None = Field(
        default=None, gt=0, le=RATE_MAX, description="Replay: how many go out in a second at most."
    )
    dry_run: bool = Field(default=False, description="Change nothing; say what it would be of.")


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/decisions", tags=["deliveries"])

    @api.post(
        "",
        response_model=NamedResults,
        status_code=202,
        responses={200: {"model": NamedSurvey, "description": "With `dry_run`: what it would be of."}},
        summary="Replay, discard or expedite what is named by its ids",
    )
    async def decide(who: Viewer, asked: DecisionRequest, once: CarriedOut) -> Any:
        """A result for each; one that could not be done says why, and the others are done all the same.

        It takes the scope `replay`; a dry run only counts.
        """
        if not asked.dry_run:
            expect(who, Scope.REPLAY)
        wanted = _wanted(asked)
        service = services.replay(who)

        async def dry() -> Row:
            found = await survey_ids(services, service, wanted)
            return {"survey": found.survey, "failed": found.failed}

        async def act() -> Row:
            return {"items": await decide_by_ids(services, service, wanted)}

        return await once(NamedSurvey, dry) if asked.dry_run else await once(NamedResults, act, 202)

    return api


def _wanted(asked: DecisionRequest) -> ByIds:
    if asked.action == "discard" and not asked.dry_run and not (asked.why or "").strip():
        raise invalid("body.why", None, "found nothing in it; expected the reason, for whoever asks one day")
    if asked.rate is not None and asked.action != "replay":
        raise invalid("body.rate", f"{asked.rate:g}", f"expected none for {asked.action}: only a replay has a rate")
    return ByIds(asked.action, asked.ids, asked.why, asked.rate)
