"""What was refused and what is held, as `status` tells it to people."""

from longstop.edges.cli import output
from longstop.edges.rows.values import Row


def print_refused(row: Row) -> None:
    """A line for each source and reason, and for each source of which requests are held."""
    for each in row["refused"]:
        source = each["source"] or "unknown names"
        output.line(f"refused         {source}: {each['requests']} {each['reason']} since {each['since']}")
    for each in row["held_requests"]:
        output.line(
            f"held requests   {each['source']}: {each['requests']} since {each['oldest']}; "
            f"`longstop sources release {each['source']}` accepts what today's secrets prove"
        )
