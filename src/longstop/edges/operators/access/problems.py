"""What is answered before the API is reached: a problem with its reason (RFC 9457)."""

import msgspec

from longstop.edges.senders_http.answers import plain_problem
from longstop.model.caller import Scope
from longstop.model.exchange import Answer

_TITLES = {401: "Unauthorized", 403: "Forbidden", 503: "Service unavailable"}


def problem(status: int, detail: str, headers: tuple[tuple[str, str], ...] = (), scope: Scope | None = None) -> Answer:
    """The answer. scope: the one that is missing."""
    plain = plain_problem(status, _TITLES[status], headers)
    said = {**msgspec.json.decode(plain.body), "detail": detail, **({"scope": scope.value} if scope else {})}
    return Answer(status, msgspec.json.encode(said), plain.content_type, headers)


def unavailable(detail: str, retry_after_s: int) -> Answer:
    """The answer where it cannot be said now."""
    return problem(503, detail, (("retry-after", str(retry_after_s)),))
