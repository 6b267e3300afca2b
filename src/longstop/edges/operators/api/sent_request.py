"""The request that a destination gets for a delivery, without what proves that it is ours."""

from collections.abc import Iterable, Sequence

from longstop import __version__
from longstop.client.models import Body, SentHeader, SentRequest
from longstop.config import Config
from longstop.edges.operators.api.problems import ProblemError
from longstop.edges.rows.values import rfc3339
from longstop.model.delivery import Attempt, Delivery
from longstop.model.errors import NotFoundError
from longstop.model.event import Event
from longstop.model.outgoing_request import delivery_headers, event_headers, proof_names
from longstop.model.settings import DestinationSettings


def sent_request(
    config: Config, event: Event, delivery: Delivery, attempts: Sequence[Attempt], number: int | None, body: Body
) -> SentRequest:
    """Of the attempt with this number, or else of the last; of what was never tried, as the first will be.

    Raises a problem where it goes to no URL, and NotFoundError where there is no such attempt.
    """
    settings = next((each for each in config.destinations if each.name == delivery.destination), None)
    if settings is None or settings.url is None:
        raise ProblemError(409, "its destination is no URL of the configuration, so it gets no request")
    attempt = _attempt(delivery, attempts, number)
    at_ms = attempt.started_at_ms if attempt else None
    known = event_headers(event, f"longstop/{__version__}")
    which = delivery_headers(event, delivery.id, attempt.number if attempt else 1, _timestamp(at_ms))
    return SentRequest(
        method="POST",
        url=config.targets[settings.name],
        headers=_headers(known, settings, which, config.telemetry.traces),
        body=body,
        attempt=attempt.number if attempt else 1,
        at=rfc3339(at_ms),
    )


def _attempt(delivery: Delivery, attempts: Sequence[Attempt], number: int | None) -> Attempt | None:
    if number is None:
        return attempts[-1] if attempts else None
    found = next((each for each in attempts if each.number == number), None)
    if found is None:
        raise NotFoundError(f"delivery {delivery.id} has no attempt {number}; it has {len(attempts)}")
    return found


def _timestamp(at_ms: int | None) -> str:
    return "" if at_ms is None else str(at_ms // 1000)


def _headers(
    known: Iterable[tuple[str, str]],
    settings: DestinationSettings,
    which: Iterable[tuple[str, str]],
    traced: bool,
) -> list[SentHeader]:
    """In the order of precedence: the last one of a name is what is sent."""
    made: dict[str, SentHeader] = {name.lower(): SentHeader(name=name, value=value) for name, value in known}
    if traced:
        # It names the span of the attempt, which is kept nowhere.
        made["traceparent"] = SentHeader(name="traceparent", value=None)
    hidden = [name for name, _ in settings.headers]
    made |= {name.lower(): SentHeader(name=name, value=None) for name in hidden}
    made |= {name.lower(): SentHeader(name=name, value=value or None) for name, value in which}
    return list((made | {n.lower(): SentHeader(name=n, value=None) for n in proof_names(settings.auth)}).values())
