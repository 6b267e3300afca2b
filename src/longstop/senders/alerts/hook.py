"""Alerts for any URL: one POST of JSON for each, in Longstop's own words."""

import base64
import hmac

from longstop.model.alert import Notice
from longstop.model.alert_channel import ChannelSettings
from longstop.model.signing import fill_content, webhook_key
from longstop.senders.alerts.request import AlertRequest, as_json


def hook(notice: Notice, channel: ChannelSettings, now_ms: int) -> list[AlertRequest]:
    """`Alert.document` of each, with the `id` that it keeps however often it is sent.

    Signed, where the channel has a secret, as Standard Webhooks says (its specification 1.0.0:
    github.com/standard-webhooks/standard-webhooks).
    """
    requests = []
    for place, alert in enumerate(notice.alerts):
        id_ = f"{notice.id}.{place}" if place else notice.id
        body = as_json({**alert.document(), "id": id_})
        requests.append(AlertRequest(channel.url, body, _headers(body, id_, str(now_ms // 1000), channel)))
    return requests


def _headers(body: bytes, id_: str, timestamp: str, channel: ChannelSettings) -> tuple[tuple[str, str], ...]:
    headers = (("webhook-id", id_), ("webhook-timestamp", timestamp))
    if channel.key is None:
        return headers
    content = fill_content("{id}.{timestamp}.{body}", body, timestamp, id_)
    signature = base64.b64encode(hmac.digest(webhook_key(channel.key), content, "sha256")).decode()
    return (*headers, ("webhook-signature", f"v1,{signature}"))
