"""Refused requests, held requests and the audit log as rows: the columns, in one order, and both directions.

What reads a row raises ValueError for what it cannot read; each store makes an error of it that names the row.
"""

from types import MappingProxyType
from typing import Any

import msgspec

from longstop.model.audit import AuditAction, AuditEntry, Target
from longstop.model.caller import CallerKind
from longstop.model.exchange import Request
from longstop.model.rejection import HeldRequest, Rejection, RejectionCount, RejectionReason
from longstop.stores.sql.rows import Row, headers_of, headers_value

REQUEST_COLUMNS = "method client path query headers body".split()
REJECTION_COLUMNS = [
    *"source id at_ms reason status problems body_bytes body_kept asked nearest".split(),
    *REQUEST_COLUMNS,
]
REJECTION_COUNT_COLUMNS = "source reason count first_at_ms last_at_ms".split()
HELD_COLUMNS = [*"source id received_at_ms sender fingerprint size".split(), *REQUEST_COLUMNS]
AUDIT_COLUMNS = "id at_ms by by_kind action target_kind target_id count why address details".split()

_encode = msgspec.msgpack.encode
_decode_problems = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_decode_details = msgspec.msgpack.Decoder(dict[str, str]).decode


def _request_row(request: Request) -> tuple[Any, ...]:
    headers = headers_value(request.headers)
    return (request.method, request.client, request.path, request.query, headers, request.body)


def _request_of(row: Row) -> Request:
    method, client, path, query, headers, body = row
    return Request(headers_of(headers), body, method, client, path, query)


def rejection_row(r: Rejection) -> tuple[Any, ...]:
    """A refused request's row, in the order of REJECTION_COLUMNS."""
    problems = _encode(r.problems)
    of_it = (r.source, r.id, r.at_ms, r.reason.value, r.status, problems, r.body_bytes, r.body_kept, r.asked, r.nearest)
    return (*of_it, *_request_row(r.request))


def rejection_of(row: Row) -> Rejection:
    """The refused request of a row in the order of REJECTION_COLUMNS."""
    source, id_, at_ms, reason, status, problems, body_bytes, body_kept, asked, nearest, *request = row
    return Rejection(
        id=id_,
        source=source,
        at_ms=at_ms,
        reason=RejectionReason(reason),
        status=status,
        problems=_decode_problems(problems),
        request=_request_of(request),
        body_bytes=body_bytes,
        body_kept=bool(body_kept),
        asked=asked,
        nearest=nearest,
    )


def rejection_count_row(c: RejectionCount) -> tuple[Any, ...]:
    """A count's row, in the order of REJECTION_COUNT_COLUMNS."""
    return (c.source, c.reason.value, c.count, c.first_at_ms, c.last_at_ms)


def rejection_count_of(row: Row) -> RejectionCount:
    """The count of a row in the order of REJECTION_COUNT_COLUMNS."""
    source, reason, *rest = row
    return RejectionCount(source, RejectionReason(reason), *rest)


def held_row(h: HeldRequest) -> tuple[Any, ...]:
    """A held request's row, in the order of HELD_COLUMNS."""
    return (h.source, h.id, h.received_at_ms, h.sender, h.fingerprint, h.size, *_request_row(h.request))


def held_of(row: Row) -> HeldRequest:
    """The held request of a row in the order of HELD_COLUMNS."""
    source, id_, received_at_ms, sender, fingerprint, _size, *request = row
    return HeldRequest(id_, source, received_at_ms, _request_of(request), sender, fingerprint)


def audit_row(e: AuditEntry) -> tuple[Any, ...]:
    """An entry's row, in the order of AUDIT_COLUMNS."""
    about = (e.by, e.by_kind.value, e.action.value, e.target.kind, e.target.id, e.count)
    return (e.id, e.at_ms, *about, e.why, e.address, _encode(dict(e.details)))


def audit_of(row: Row) -> AuditEntry:
    """The entry of a row in the order of AUDIT_COLUMNS."""
    id_, at_ms, by, by_kind, action, target_kind, target_id, count, why, address, details = row
    return AuditEntry(
        id_,
        at_ms,
        by,
        CallerKind(by_kind),
        AuditAction(action),
        Target(target_kind, target_id),
        count,
        why,
        address,
        MappingProxyType(_decode_details(details)),
    )
