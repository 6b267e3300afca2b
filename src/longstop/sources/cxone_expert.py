"""NICE CXone Expert webhooks: changes to pages of the knowledge base, as XML or JSON.

Facts from the vendor's "Webhook integration guide"
(https://expert-help.nice.com/Manage/Content_Maintenance/Subscriptions_and_Notifications/Webhooks):
- `X-Nexus-Signature-256: sha256=` and the hex of HMAC-SHA256 over the timestamp, a dot and the raw body;
  `X-Nexus-Timestamp` is that timestamp, in Unix seconds.
- `X-Nexus-Delivery-Id` names the delivery and `X-Nexus-Event-Type` the event, as `Page_Create`.
- The media type is `text/xml`; one second is allowed for the answer; 5xx is tried again with backoff.
How old a timestamp may be is not the vendor's word: `tolerance` says it, five minutes by default.
"""

from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_leniently

SCHEME = OWN_SCHEMES["cxone-expert"]

ANSWER_WITHIN_S = 0.6
"""The sender waits one second, network included."""


def build(settings: SourceSettings) -> Source:
    """A source of Expert webhooks. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=SCHEME,
        parse=parse_leniently,
        dedup=compile_selector("header:X-Nexus-Delivery-Id").dedup,
        type=compile_selector("header:X-Nexus-Event-Type").text,
        answer_within_s=ANSWER_WITHIN_S,
    )
