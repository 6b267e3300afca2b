"""`statistics`: what happened when."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from longstop.client.statistics import Statistics
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.answers import list_of
from longstop.edges.operators.api.problems import invalid
from longstop.edges.operators.api.queries import TEXT_MAX, Moment, Name, moment
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.statistics import HOUR_MS, line_row, series_named
from longstop.edges.rows.values import rfc3339
from longstop.model.statistics import Series, StatisticsError
from longstop.operating.statistics import Asked, Lines, StatisticsReader

STEP_MAX_S = 90 * 86_400


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["statistics"])
    reader = StatisticsReader(services.store, services.clock)

    @api.get("/statistics", response_model=Statistics, summary="What happened when: numbers over time")
    async def statistics(
        _who: Viewer,
        series: Annotated[
            str | None,
            Query(
                max_length=TEXT_MAX, description=f"Which, with commas between: {', '.join(Series)}. All unless told."
            ),
        ] = None,
        from_: Annotated[Moment, Query(alias="from", description="An hour ago unless told.")] = None,
        to: Moment = None,
        step: Annotated[int, Query(ge=60, le=STEP_MAX_S, multiple_of=60, description="Seconds.")] = 60,
        source: Name = None,
        destination: Name = None,
        by: Annotated[Literal["none", "source", "destination"], Query(description="A line for each.")] = "none",
    ) -> Any:
        """Minutes are kept for two days, hours for 90: further back the step is a multiple of 3600 s.

        Written each 10 s by every process, so that the last step is still growing.
        """
        now_ms = services.clock.now_ms()
        to_ms = now_ms if (told := moment("query.to", to, now_ms)) is None else told
        from_ms = to_ms - HOUR_MS if (told := moment("query.from", from_, now_ms)) is None else told
        wanted = Asked(
            _series(series), from_ms, to_ms, step * 1000, source, destination, by == "source", by == "destination"
        )
        try:
            return await _answer(services, await reader.read(wanted))
        except StatisticsError as error:
            which = "query.step" if str(error).startswith("step") else "query.from"
            raise invalid(which, None, str(error)) from None

    return api


def _series(text: str | None) -> tuple[Series, ...]:
    try:
        return series_named(text)
    except StatisticsError as error:
        raise invalid("query.series", text, str(error)) from None


async def _answer(services: Services, lines: Lines) -> Response:
    around = {"from": rfc3339(lines.from_ms), "to": rfc3339(lines.to_ms), "step_s": lines.step_ms // 1000}
    # No model looks at each of their thousands of points.
    return await list_of(services.clock, "series", (json.dumps(line_row(each)) for each in lines.lines), around)
