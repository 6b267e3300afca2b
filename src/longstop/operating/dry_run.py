"""A dry run: what would become of a captured request, and why, without keeping anything."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from longstop.model.credentials import NOT_KEPT
from longstop.model.diagnosis import why_not_verified
from longstop.model.errors import AddressError, BodyTooLargeError, IngestError, MalformedError, VerificationError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.rejection import Rejection
from longstop.model.routing import Router
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
    destinations = tuple(router.destinations(source.name, reading.document))
    status = source.answer(_RECEIPT).status
    return DryRun(
        Verdict.ACCEPTED,
        status,
        type=reading.type,
        key=reading.key,
        dedup=reading.dedup,
        occurred_at_ms=reading.occurred_at_ms,
        destinations=destinations,
    )


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
