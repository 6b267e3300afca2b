"""Stripe: events of an account, as webhook endpoints get them.

Facts from the vendor's documentation (docs.stripe.com, "Receive Stripe events in your webhook endpoint", "Resolve
webhook signature verification errors") and its libraries:
- `Stripe-Signature: t=<Unix seconds>,v1=<hex>`: HMAC-SHA256 over the time, a full stop and the raw body. The key is the
  whole secret, with its `whsec_`. While a secret is rolled there are several v1; other schemes (v0) mean nothing.
- The vendor's libraries tolerate 5 minutes. Every try is signed anew.
- `id` names the event and is the same in every try; `type` says what happened, as `charge.refunded`.
- Retries for up to three days, further and further apart. No order is promised.
"""

from collections.abc import Iterable

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.own_scheme import own_verifier
from longstop.sources.reading import compile_selector, parse_object
from longstop.sources.verification import HmacVerifier, is_fresh, sole_value

HEADER = "Stripe-Signature"
SIGNATURES_MAX = 16
"""So many are looked at: the work for one request is not the sender's to choose."""


class StripeVerifier:
    """Time and signatures stand in one header."""

    def __init__(self, secrets: Iterable[str], tolerance_ms: int) -> None:
        self._hmac = HmacVerifier(secrets, HEADER)
        self._tolerance_ms = tolerance_ms

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the time is near enough and one of the v1 signatures is by one of the secrets."""
        elements = [part.strip().partition(b"=") for part in sole_value(request.headers, HEADER).split(b",")]
        times = [value for name, _, value in elements if name == b"t"]
        signatures = [value for name, _, value in elements if name == b"v1"][:SIGNATURES_MAX]
        # Of two times, one is not signed. An absent signature costs what a wrong one does.
        time = times[0] if len(times) == 1 else b""
        content = time + b"." + request.body
        signed = [self._hmac.signs(signature, content) for signature in signatures or [b""]]
        return any(signed) and is_fresh(time, now_ms, self._tolerance_ms)


def build(settings: SourceSettings) -> Source:
    """A Stripe source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        verifier=own_verifier(settings, lambda secrets: StripeVerifier(secrets, settings.tolerance_ms)),
        parse=parse_object,
        dedup=compile_selector("id").dedup,
        type=compile_selector("type").text,
        key=compile_selector("data.object.id").text,
    )
