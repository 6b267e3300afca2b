"""What is posted to a service, before it is posted."""

import json
from dataclasses import dataclass, field
from typing import Any

from longstop.model.alert import Alert, Severity, Status
from longstop.model.printable import printable

MARKS = {Severity.INFO: "INFO", Severity.WARNING: "WARNING", Severity.ERROR: "ERROR", Severity.CRITICAL: "CRITICAL"}


@dataclass(frozen=True, slots=True)
class AlertRequest:
    """One POST."""

    url: str = field(repr=False)
    body: bytes
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def as_json(document: Any) -> bytes:
    """As JSON in ASCII: whatever a text holds, it ends no line and no string."""
    return json.dumps(document).encode("ascii")


def plain(text: str, chars: int) -> str:
    """Text of others, no longer than so many characters, with what is not to be seen in it written as escapes."""
    shown = printable(text)
    return shown if len(shown) <= chars else f"{shown[: chars - 1]}…"


def mark(alert: Alert) -> str:
    """A word before the title: how bad it is, or that it is over."""
    return "RESOLVED" if alert.status is Status.RESOLVED else MARKS[alert.severity]
