"""Rows of sources: what is configured, what was refused, what would become of a request."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longstop.edges.rows.values import Row, rfc3339, text_or_base64
from longstop.model.rejection import UNKNOWN, HeldCount, Rejection, RejectionCount
from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers, scheme_of

if TYPE_CHECKING:
    from longstop.config import Config
    from longstop.operating.dry_run import DryRun


def source_row(config: "Config", source: SourceSettings) -> Row:
    """The stable fields of a source."""
    to = dict.fromkeys(name for route in config.routes if route.source == source.name for name in route.to)
    return {
        "name": source.name,
        "kind": source.kind,
        "verified": verified_by(source),
        "path": f"/webhooks/{source.name}",
        "to": list(to),
    }


def verified_by(source: SourceSettings) -> str:
    """The scheme that its requests are verified by."""
    scheme = scheme_of(source)
    return "its own scheme" if scheme is None else scheme.scheme


def source_details(source: SourceSettings) -> Row:
    """The stable fields of `sources show` besides: settings, and no secret."""
    return {
        "secrets": len(source.secrets),
        "headers": list(proof_headers(source)),
        "required_headers": list(source.required_headers),
        "dedup": source.dedup,
        "type": source.type,
        "key": source.key,
        "dedup_window_ms": source.dedup_window_ms,
        "max_body_bytes": source.body_bytes_max,
        "tolerance_ms": source.tolerance_ms,
        "content_types": list(source.content_types),
        "allow": list(source.allow),
        "rate_per_s": source.rate_per_s,
        "public_url": source.public_url,
        "on_unverified": source.on_unverified,
        "keep_rejected_bodies": source.keep_rejected_bodies,
    }


def source_refused_row(name: str, counts: Sequence[RejectionCount], held: Sequence[HeldCount]) -> Row:
    """The stable fields of what was refused and is held of a source."""
    of_it = [each for each in counts if each.source == name]
    return {
        "refused": {each.reason.value: each.count for each in of_it},
        "refused_since": rfc3339(min((each.first_at_ms for each in of_it), default=None)),
        "held": sum(each.requests for each in held if each.source == name),
    }


def rejection_row(rejection: Rejection) -> Row:
    """The stable fields of `sources rejections`."""
    request = rejection.request
    return {
        "id": rejection.id,
        "source": None if rejection.source == UNKNOWN else rejection.source,
        "at": rfc3339(rejection.at_ms),
        "reason": rejection.reason.value,
        "status": rejection.status,
        "problems": list(rejection.problems),
        "client": request.client,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": [list(pair) for pair in request.headers],
        "body_bytes": rejection.body_bytes,
        "body": text_or_base64(request.body) if rejection.body_kept else None,
        "asked": rejection.asked,
        "nearest": rejection.nearest,
    }


def dry_run_row(found: "DryRun") -> Row:
    """The stable fields of `sources test`."""
    return {
        "verdict": found.verdict.value,
        "status": found.status,
        "type": found.type,
        "key": found.key,
        "dedup": text_or_base64(found.dedup),
        "occurred_at": rfc3339(found.occurred_at_ms),
        "destinations": list(found.destinations),
        "routes": [
            {
                "to": list(each.to),
                "when": each.when or None,
                "matched": each.matched,
                "sees": dict(each.sees),
                "of_body": sorted(each.of_body),
            }
            for each in found.routes
        ],
        "problems": list(found.problems),
    }
