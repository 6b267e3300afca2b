"""What a query asks for, as the store's filters. The names are those of the command line's options."""

from typing import Annotated, Literal, NamedTuple

from fastapi import Query, Request

from longstop.edges.operators.api.problems import invalid
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.known import UnknownNameError, as_stored, expect_known
from longstop.edges.rows.times import TIMES_EXPECTED, read_time
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter

TEXT_MAX = 1_000
"""Characters of a text that is looked for."""

Standing = Literal["scheduled", "held", "leased", "delivered", "dead", "discarded"]
Name = Annotated[str | None, Query(max_length=TEXT_MAX)]
Moment = Annotated[str | None, Query(max_length=100, description=f"Expects {TIMES_EXPECTED}.")]
Contains = Annotated[
    str | None, Query(min_length=1, max_length=TEXT_MAX, description="The body holds this text, as it stands there.")
]


async def event_filter(
    request: Request,
    source: Name = None,
    type: Name = None,
    key: Name = None,
    since: Moment = None,
    until: Moment = None,
    contains: Contains = None,
    unrouted: Annotated[bool, Query(description="Only events that no route wanted.")] = False,
    state: Annotated[Standing | None, Query(description="With a delivery that is so.")] = None,
    destination: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="With a delivery for it; `quarantine`: unreadable.")
    ] = None,
) -> "AskedEvents":
    """Which events. Times are those of the arrival: since inclusive, until exclusive."""
    services: Services = request.app.state.services
    now_ms = services.clock.now_ms()
    await known(services, source, as_stored(destination))
    since_ms, until_ms = moment("query.since", since, now_ms), moment("query.until", until, now_ms)
    text = contains.encode() if contains is not None else None
    wanted = EventFilter(source, type, key, since_ms, until_ms, text, unrouted)
    if state is None and destination is None:
        return AskedEvents(wanted, None)
    if unrouted:
        raise invalid("query.unrouted", "true", "an unrouted event has no delivery", "leave out state and destination")
    of = DeliveryFilter(
        state=State.SCHEDULED if state == "held" else State(state) if state else None,
        held=True if state == "held" else None,
        source=source,
        destination=as_stored(destination),
        type=type,
        key=key,
        received_since_ms=since_ms,
        received_until_ms=until_ms,
        contains=text,
    )
    return AskedEvents(wanted, of)


async def delivery_filter(
    request: Request,
    state: Annotated[Standing | None, Query(description="`held`: another of its key goes first.")] = None,
    reason: DeadReason | None = None,
    status: Annotated[int | None, Query(ge=100, le=599, description="The HTTP status of the last attempt.")] = None,
    error: Annotated[
        str | None,
        Query(min_length=1, max_length=TEXT_MAX, description="The last error holds this."),
    ] = None,
    source: Name = None,
    destination: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="`quarantine`: requests that could not be read.")
    ] = None,
    type: Name = None,
    key: Name = None,
    since: Moment = None,
    until: Moment = None,
    contains: Contains = None,
) -> DeliveryFilter:
    """Which deliveries.

    Times are those of the end for what is dead, delivered or discarded, else those of the arrival.
    """
    asked = Asked(state, reason, status, error, source, destination, type, key, since, until, contains)
    return await filter_of(request.app.state.services, "query", asked)


class AskedEvents(NamedTuple):
    """Which events: those of a filter, or those with such a delivery."""

    wanted: EventFilter
    of: DeliveryFilter | None


class Asked(NamedTuple):
    """Which deliveries, in the words of a request."""

    state: Standing | None
    reason: DeadReason | None
    status: int | None
    error: str | None
    source: str | None
    destination: str | None
    type: str | None
    key: str | None
    since: str | None
    until: str | None
    contains: str | None


async def filter_of(services: Services, at: str, asked: Asked) -> DeliveryFilter:
    """The filter that these words mean; `at`: where they stand, as `query`. Raises a problem."""
    now_ms = services.clock.now_ms()
    state, reason, status, error, source, destination, type, key, since, until, contains = asked
    await known(services, source, as_stored(destination), at)
    since_ms, until_ms = moment(f"{at}.since", since, now_ms), moment(f"{at}.until", until, now_ms)
    ended = state in ("dead", "delivered", "discarded")
    return DeliveryFilter(
        state=State.SCHEDULED if state == "held" else State(state) if state else None,
        held=True if state == "held" else None,
        reason=reason,
        status=status,
        error=error,
        source=source,
        destination=as_stored(destination),
        type=type,
        key=key,
        since_ms=since_ms if ended else None,
        until_ms=until_ms if ended else None,
        received_since_ms=None if ended else since_ms,
        received_until_ms=None if ended else until_ms,
        contains=contains.encode() if contains is not None else None,
    )


async def known(services: Services, source: str | None, destination: str | None, at: str = "query") -> None:
    """Raise a problem for a name that nobody knows: a slip of the finger, and not an empty list."""
    if source is None and destination is None:
        return
    try:
        await expect_known(services, source, destination)
    except UnknownNameError as error:
        which = "source" if str(error).startswith("found no source") else "destination"
        raise invalid(f"{at}.{which}", source if which == "source" else destination, str(error)) from None


def moment(path: str, text: str | None, now_ms: int) -> int | None:
    """The time that a text names; None for None. Raises a problem."""
    if text is None:
        return None
    at_ms = read_time(text, now_ms)
    if at_ms is None:
        raise invalid(path, text, f"expected {TIMES_EXPECTED}")
    return at_ms
