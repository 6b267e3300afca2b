"""Shopify: webhooks of a shop's topics.

Facts from the vendor's documentation (shopify.dev, "Deliver webhooks through HTTPS", "About webhooks", "Ignore
duplicate webhooks", "Updates to webhook retry mechanism" of 2024-09-10):
- `X-Shopify-Hmac-Sha256`: the base64 of HMAC-SHA256 over the raw body, by the app's client secret.
- `X-Shopify-Topic` names the event, as `orders/create`.
- `X-Shopify-Webhook-Id` names the webhook, and is the same in every try. `X-Shopify-Event-Id` names the event, and is
  shared by the webhooks of several subscriptions; several topics may tell of one event.
- 5 s for the answer. Eight retries within four hours, with the first payload; after that the event is lost.
"""

from typing import Any

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, joint_key, parse_leniently

_TOPIC = compile_selector("header:X-Shopify-Topic")
_WEBHOOK_ID = compile_selector("header:X-Shopify-Webhook-Id")
_EVENT_ID = compile_selector("header:X-Shopify-Event-Id")


def dedup_key(request: Request, document: Any) -> bytes | None:
    """The webhook's id, else the event's, with the topic: what two topics tell of one event are two events here.

    Raises MalformedError where a header comes twice with different values.
    """
    webhook = _WEBHOOK_ID.dedup(request, document)
    if webhook is not None or _EVENT_ID.dedup(request, document) is None:
        return webhook
    return joint_key([_TOPIC.text(request, document), _EVENT_ID.text(request, document)])


def build(settings: SourceSettings) -> Source:
    """A Shopify source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=OWN_SCHEMES["shopify"],
        parse=parse_leniently,
        dedup=dedup_key,
        type=_TOPIC.text,
        key=compile_selector("admin_graphql_api_id || id").text,
    )
