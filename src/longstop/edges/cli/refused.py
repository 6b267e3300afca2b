"""What was refused and what is held, as `status` tells it."""

from collections.abc import Sequence

from longstop.edges.cli import output, rows
from longstop.model.rejection import UNKNOWN, HeldCount, RejectionCount


def refused_rows(counts: Sequence[RejectionCount], held: Sequence[HeldCount]) -> rows.Row:
    """The stable fields of `status` about requests that were refused. Source null: a name that no source has."""
    return {
        "refused": [
            {
                "source": None if each.source == UNKNOWN else each.source,
                "reason": each.reason.value,
                "requests": each.count,
                "since": output.rfc3339(each.first_at_ms),
                "last": output.rfc3339(each.last_at_ms),
            }
            for each in counts
        ],
        "held_requests": [
            {
                "source": each.source,
                "requests": each.requests,
                "bytes": each.bytes,
                "oldest": output.rfc3339(each.oldest_at_ms),
            }
            for each in held
        ],
    }


def print_refused(row: rows.Row) -> None:
    """A line for each source and reason, and for each source of which requests are held."""
    for each in row["refused"]:
        source = each["source"] or "unknown names"
        output.line(f"refused         {source}: {each['requests']} {each['reason']} since {each['since']}")
    for each in row["held_requests"]:
        output.line(
            f"held requests   {each['source']}: {each['requests']} since {each['oldest']}; "
            f"`longstop sources release {each['source']}` accepts what today's secrets prove"
        )
