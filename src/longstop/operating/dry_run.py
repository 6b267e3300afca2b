"""A dry run: what would become of a captured request, and why, without keeping anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from longstop.model.credentials import NOT_KEPT
from longstop.model.diagnosis import why_not_verified
from longstop.model.errors import AddressError, BodyTooLargeError, IngestError, MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Reading, Request
from longstop.model.rejection import Rejection
from longstop.model.routing import Route, Router, seen
from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers
from longstop.ports import Source

_RECEIPT = Receipt(ReceiptStatus.ACCEPTED, "00000000-0000-7000-8000-000000000000")


class Verdict(StrEnum):
    """What would become of it."""

    ACCEPTED = "accepted"
    ANSWERED = "answered"
    """It asks for an answer (a challenge, a token) and carries no event."""
    QUARANTINED = "quarantined"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TriedRoute:
    """One route, and whether it wants the request's event."""

    to: tuple[str, ...]
    when: str
    """Its condition; empty: it has none."""
    matched: bool
    sees: Mapping[str, Any]
    """What `type`, `key` and `source` are for the condition, as far as they stand in it."""
    of_body: frozenset[str]
    """Which of them are members of the body, and not what is known of the event."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would become of one request. `status` is the HTTP status of the answer."""

    verdict: Verdict
    status: int
    problems: tuple[str, ...] = ()
    """Why it would not be accepted, in words."""
    type: str | None = None
    key: str | None = None
    dedup: bytes | None = None
    """None: it would never be a duplicate."""
    occurred_at_ms: int | None = None
    """None: the sender tells no time."""
    destinations: tuple[str, ...] = ()
    """None of them: it would be kept as unrouted."""
    routes: tuple[TriedRoute, ...] = ()
    """All routes of the source, and what their conditions made of it."""


def dry_run(settings: SourceSettings, source: Source, router: Router, request: Request, now_ms: int) -> DryRun:
    """What would become of the request if it came at `now_ms`. `settings` are those that the source was built from."""
    refusal = _at_the_door(source, request)
    if refusal is not None:
        return refusal
    try:
        answer = source.handshake(request, now_ms)
        if answer is not None:
            return DryRun(Verdict.ANSWERED, answer.status)
        source.verify(request, now_ms)
        reading = source.read(request)
    except VerificationError as error:
        return _refused(error, *why_not_verified(settings, partial(_verifies, source), request, now_ms))
    except AddressError as error:
        return _refused(
            error, f"the address it came from, {request.client or 'not known'}, is in no network of `allow`"
        )
    except MalformedError as error:
        return DryRun(Verdict.QUARANTINED, error.status, (str(error),))
    except IngestError as error:
        return _refused(error, str(error))
    status = source.answer(_RECEIPT).status
    return DryRun(
        Verdict.ACCEPTED,
        status,
        type=reading.type,
        key=reading.key,
        dedup=reading.dedup,
        occurred_at_ms=reading.occurred_at_ms,
        destinations=tuple(router.destinations(source.name, reading, request.headers)),
        routes=tuple(_tried(route, reading, request.headers) for route in router.routes(source.name)),
    )


def _tried(route: Route, reading: Reading, headers: Headers) -> TriedRoute:
    known, document = seen(route.source, reading, headers, route.names), reading.document
    # Who asks has the headers before him.
    names = route.names.intersection(("type", "key", "source")) if isinstance(known, dict) else ()
    sees = {name: known[name] for name in sorted(names)}
    of_body = frozenset(document if isinstance(document, dict) else ()).intersection(sees)
    return TriedRoute(route.to, route.text, route.wants(reading, headers), sees, of_body)


def dry_run_of_rejection(
    settings: SourceSettings, source: Source, router: Router, sample: Rejection, now_ms: int
) -> DryRun:
    """What would become of a request that was refused, as far as it is kept; else what was found out then."""
    proofs = [sample.request.headers.get(name) for name in proof_headers(settings)]
    if NOT_KEPT in proofs:
        lacks = "the credential it showed was not kept, so it cannot be tried again"
    elif sample.body_bytes and not sample.body_kept:
        hint = f"`keep_rejected_bodies = true` on source {settings.name} keeps those to come"
        lacks = f"its body was not kept, so it cannot be tried again; {hint}"
    else:
        return dry_run(settings, source, router, sample.request, now_ms)
    return DryRun(Verdict.REFUSED, sample.status, (*sample.problems, lacks))


def _refused(error: IngestError, *problems: str) -> DryRun:
    return DryRun(Verdict.REFUSED, error.status, problems)


def _at_the_door(source: Source, request: Request) -> DryRun | None:
    """What is refused before a source is asked."""
    methods = source.methods(request.path)
    if not methods:
        return DryRun(Verdict.REFUSED, 404, (f"the source has no path {request.path!r} below its own",))
    if request.method not in methods:
        problem = f"found the method {request.method}; expected {' or '.join(sorted(methods))}"
        return DryRun(Verdict.REFUSED, 405, (problem,))
    limit = source.body_bytes_max(request.path)
    if len(request.body) > limit:
        problem = f"the body is {len(request.body)} bytes; the source's `max_body` is {limit}"
        return DryRun(Verdict.REFUSED, BodyTooLargeError.status, (problem,))
    return None


def _verifies(source: Source, request: Request, now_ms: int) -> bool:
    try:
        source.verify(request, now_ms)
    except VerificationError:
        return False
    except AddressError:
        return True
    return True
