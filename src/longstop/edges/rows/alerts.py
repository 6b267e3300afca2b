"""Rows of what is wrong and of what is silenced."""

from longstop.edges.rows.values import Row, rfc3339
from longstop.model.alert import KINDS, Status
from longstop.model.alert_book import AlertBook, Silence, Standing


def active_rows(book: AlertBook, now_ms: int) -> list[Row]:
    """What is on, the longest first."""
    return [alert_row(each, book.silenced(each.kind, each.subject, now_ms)) for each in book.active()]


def alert_row(standing: Standing, silence: Silence | None) -> Row:
    """One alert that is on."""
    alert = standing.alert(Status.FIRING, standing.since_ms)
    return {
        "key": standing.key,
        "kind": standing.kind,
        "about": str(KINDS[standing.kind].about),
        "subject": standing.subject,
        "severity": str(standing.severity),
        "since": rfc3339(standing.since_ms),
        "title": alert.title,
        "why": standing.why,
        "told_at": rfc3339(standing.told_at_ms),
        "ending": standing.gone_at_ms is not None,
        "silenced_until": rfc3339(silence.until_ms) if silence else None,
        "silenced_by": silence.by if silence else None,
        "facts": dict(standing.facts),
    }


def silence_rows(book: AlertBook, now_ms: int) -> list[Row]:
    """The silences that are in force."""
    return [silence_row(each) for each in book.silences if now_ms < each.until_ms]


def silence_row(silence: Silence) -> Row:
    """One silence."""
    return {
        "kind": silence.kind,
        "subject": silence.subject,
        "until": rfc3339(silence.until_ms),
        "by": silence.by,
        "why": silence.why,
        "at": rfc3339(silence.at_ms),
    }
