"""What the API shows of statistics over time, as pydantic models."""

from pydantic import BaseModel, Field

from longstop.client.models import Time
from longstop.model.statistics import Series


class Quantiles(BaseModel):
    """Of the latencies within one step, in seconds, from an event's acceptance to its delivery."""

    p50: float
    p99: float


class StatisticsLine(BaseModel):
    """One series over time."""

    name: Series
    source: str | None = Field(description="Where the series is asked for by source.")
    destination: str | None = Field(description="Where it is asked for by destination.")
    points: list[int | Quantiles | None] = Field(
        description="One for each step, the first begins at `from`: how many there were. Of `latency`: quantiles, or "
        "null where nothing was delivered."
    )


class Statistics(BaseModel):
    """Series over time. They begin at a whole minute or hour, which may be a little before what was asked."""

    from_: Time = Field(alias="from")
    to: Time
    step_s: int
    series: list[StatisticsLine]
