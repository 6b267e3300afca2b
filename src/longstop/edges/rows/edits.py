"""The row of an edited replay before it is made: what changes in the body, and where it would go."""

import difflib
import json
from typing import TYPE_CHECKING

from longstop.edges.rows.values import Row

if TYPE_CHECKING:
    from longstop.operating.replay import EditPlan


def edit_row(plan: "EditPlan") -> Row:
    """The stable fields of `replay --edit` with `--dry-run`."""
    event = plan.append.event
    return {
        "parent": plan.parent.id,
        "type": event.type,
        "key": event.key,
        "destinations": [each.destination for each in plan.append.deliveries],
        "replaces": [each.id for each in plan.replaces],
        "diff": body_diff(plan.parent.body, event.body),
    }


def body_diff(old: bytes, new: bytes) -> list[str]:
    """A unified diff of two bodies. Two JSON bodies are laid out first: mostly each is one long line."""
    before, after = _laid_out(old), _laid_out(new)
    if before is None or after is None:
        before, after = _as_text(old), _as_text(new)
    lines = difflib.unified_diff(before, after, "kept", "edited", lineterm="")
    return list(lines)


def _laid_out(body: bytes) -> list[str] | None:
    try:
        document = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
        return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        return None


def _as_text(body: bytes) -> list[str]:
    return body.decode(errors="backslashreplace").splitlines()
