"""Stripe: events of an account, as webhook endpoints get them.

Facts from the vendor's documentation (docs.stripe.com, "Receive Stripe events in your webhook endpoint", "Resolve
webhook signature verification errors") and its libraries:
- `Stripe-Signature: t=<Unix seconds>,v1=<hex>`: HMAC-SHA256 over the time, a full stop and the raw body. The key is the
  whole secret, with its `whsec_`. While a secret is rolled there are several v1; other schemes (v0) mean nothing.
- The vendor's libraries tolerate 5 minutes. Every try is signed anew.
- `id` names the event and is the same in every try; `type` says what happened, as `charge.refunded`.
- Retries for up to three days, further and further apart. No order is promised.
"""

from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_object


def build(settings: SourceSettings) -> Source:
    """A Stripe source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=OWN_SCHEMES["stripe"],
        parse=parse_object,
        dedup=compile_selector("id").dedup,
        type=compile_selector("type").text,
        key=compile_selector("data.object.id").text,
    )
