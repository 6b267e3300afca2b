"""Alerts for services that keep incidents: one request for each alert, under a key that its end has as well.

The keys make a request that is sent twice harmless: the incident is the same one.
"""

import hashlib
from urllib.parse import quote

from longstop.model.alert import Alert, Notice, Severity, Status
from longstop.model.alert_channel import ChannelSettings
from longstop.model.times import rfc3339
from longstop.senders.alerts.request import AlertRequest, as_json, mark, plain

PAGERDUTY_SUMMARY_CHARS_MAX = 1024
PAGERDUTY_KEY_CHARS_MAX = 255
OPSGENIE_MESSAGE_CHARS_MAX = 130
OPSGENIE_DESCRIPTION_CHARS_MAX = 15_000
_PRIORITIES = {Severity.CRITICAL: "P1", Severity.ERROR: "P2", Severity.WARNING: "P3", Severity.INFO: "P5"}


def pagerduty(notice: Notice, channel: ChannelSettings) -> list[AlertRequest]:
    """Events API v2: `trigger`, and `resolve` under the same `dedup_key`.

    developer.pagerduty.com/docs/events-api-v2-overview and github.com/PagerDuty/api-schema, reference/events-v2: the
    fields, the four severities, at most 1,024 characters of `summary` and 255 of `dedup_key`. A resolve of what is not
    open is ignored there.
    """
    return [AlertRequest(channel.url, as_json(_pagerduty(each, channel))) for each in notice.alerts]


def _pagerduty(alert: Alert, channel: ChannelSettings) -> dict[str, object]:
    head = {"routing_key": channel.key, "dedup_key": incident_key(alert, channel)}
    if alert.status is Status.RESOLVED:
        return {**head, "event_action": "resolve"}
    payload = {
        "summary": plain(f"[{channel.install}] {alert.text}", PAGERDUTY_SUMMARY_CHARS_MAX),
        "source": channel.install,
        "severity": str(alert.severity),
        "timestamp": rfc3339(alert.at_ms),
        "component": plain(alert.name, 255),
        "class": alert.kind,
        "custom_details": alert.document(),
    }
    return {**head, "event_action": "trigger", "client": "Longstop", "payload": payload}


def opsgenie(notice: Notice, channel: ChannelSettings) -> list[AlertRequest]:
    """Alert API: an alert under an `alias`, which its end closes.

    docs.opsgenie.com/docs/alert-api: the fields and their limits, `POST /v2/alerts/:identifier/close` with
    `identifierType=alias`, the key as `Authorization: GenieKey`.
    support.atlassian.com/opsgenie: no longer sold since 4 June 2025; its REST API works until 5 April 2027.
    """
    headers = (("Authorization", f"GenieKey {channel.key}"),)
    return [_opsgenie(each, channel, headers) for each in notice.alerts]


def _opsgenie(alert: Alert, channel: ChannelSettings, headers: tuple[tuple[str, str], ...]) -> AlertRequest:
    alias = incident_key(alert, channel)
    if alert.status is Status.RESOLVED:
        url = f"{channel.url.rstrip('/')}/{quote(alias, safe='')}/close?identifierType=alias"
        note = {"source": channel.install, "note": plain(alert.text, OPSGENIE_DESCRIPTION_CHARS_MAX)}
        return AlertRequest(url, as_json(note), headers)
    document = {
        "message": plain(f"[{channel.install}] {alert.title}", OPSGENIE_MESSAGE_CHARS_MAX),
        "alias": alias,
        "description": plain(f"{mark(alert)}: {alert.text}", OPSGENIE_DESCRIPTION_CHARS_MAX),
        "priority": _PRIORITIES[alert.severity],
        "source": channel.install,
        "entity": plain(alert.name, 512),
        "tags": ["longstop", alert.kind],
        "details": {"since": rfc3339(alert.since_ms or alert.at_ms), "kind": alert.kind},
    }
    return AlertRequest(channel.url, as_json(document), headers)


def incident_key(alert: Alert, channel: ChannelSettings) -> str:
    """What the service knows the incident by: of this installation, and no longer than any service takes."""
    key = f"{channel.install}:{alert.key}"
    if len(key) <= PAGERDUTY_KEY_CHARS_MAX and key.isascii() and key.isprintable():
        return key
    return f"{channel.install}:{alert.kind}:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
