"""`alerts`: what is wrong now, and what people want to hear nothing of for a time."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from longstop.client.alerts import Alert, Ended, Silence
from longstop.client.models import Items
from longstop.config.alerts import ALERT_KINDS
from longstop.edges.operators.api.access import Decider, Viewer
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.alerts import active_rows, silence_row, silence_rows
from longstop.edges.rows.values import Row, rfc3339
from longstop.model import alert_book
from longstop.model.alert_book import ANY_KIND
from longstop.operating.audit import note_silence

SILENCE_S_MAX = 366 * 86_400
KindName = Literal[(*ALERT_KINDS, ANY_KIND)]  # type: ignore[valid-type]
SubjectName = Annotated[str | None, Field(max_length=500, description="null: every one of them.")]


class NewSilence(StrictBody):
    """What is to be silenced."""

    kind: KindName = Field(description='A kind of alert, or "*" for every one.', examples=["backlog"])
    subject: SubjectName = None
    for_s: Annotated[float, Field(gt=0, le=SILENCE_S_MAX, description="For so many seconds.", examples=[7200])]
    why: Annotated[str | None, Field(max_length=1_000)] = None


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/alerts", tags=["alerts"])

    @api.get("", response_model=Items[Alert], summary="What is wrong now, the longest first")
    async def alerts(_who: Viewer) -> Any:
        return {"items": active_rows(await services.store.alert_book(), services.clock.now_ms())}

    @api.get("/silences", response_model=Items[Silence], summary="What nobody is told of")
    async def silences(_who: Viewer) -> Any:
        return {"items": silence_rows(await services.store.alert_book(), services.clock.now_ms())}

    @api.post("/silences", response_model=Silence, status_code=201, summary="Tell nobody of a kind for a time")
    async def silence(who: Decider, asked: NewSilence, once: CarriedOut) -> Any:
        """It takes the place of another for the same. What is still wrong when it is over is told then."""

        async def act() -> Row:
            now_ms = services.clock.now_ms()
            until_ms = now_ms + round(asked.for_s * 1000)
            made = alert_book.Silence(asked.kind, asked.subject, until_ms, who.name, asked.why, now_ms)
            await note_silence(services.auditor(who), asked.kind, asked.subject, why=asked.why, until=rfc3339(until_ms))
            await services.alerts.silence(made)
            return silence_row(made)

        return await once(Silence, act, 201)

    @api.delete(
        "/silences",
        response_model=Ended,
        responses={404: {"description": "There is no silence for exactly this."}},
        summary="End a silence",
    )
    async def unsilence(who: Decider, kind: KindName, subject: Annotated[str | None, Query()] = None) -> Any:
        """The one for exactly this kind and subject."""
        await note_silence(services.auditor(who), kind, subject, until="now")
        if not await services.alerts.unsilence(kind, subject):
            raise ProblemError(404, "there is no silence for exactly this; GET /api/v1/alerts/silences lists them")
        return {"kind": kind, "subject": subject, "ended": True}

    return api
