"""Slack: the Events API, over HTTP.

Facts from the vendor's documentation (docs.slack.dev, "Verifying requests from Slack", "HTTP Request URLs",
"url_verification", "The Events API"):
- `X-Slack-Signature: v0=` and the hex of HMAC-SHA256 over `v0:`, the time, a colon and the raw body; the time is
  `X-Slack-Request-Timestamp`. Five minutes off is too much.
- `url_verification` asks whether the URL is the app's own: it is signed, and wants its `challenge` back.
- `event_id` names the event and is the same in every try; what happened is in `event`, its kind in `event.type`.
- 3 s for the answer, then three more tries: nearly at once, after a minute, after five minutes.
"""

from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.challenge import is_challenge, text_answer
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_leniently, parse_object


def url_verification(request: Request) -> Answer | None:
    """The challenge of `url_verification`, as text."""
    if b"url_verification" not in request.body:
        return None
    document = parse_leniently(request.body)
    if not isinstance(document, dict) or document.get("type") != "url_verification":
        return None
    challenge = document.get("challenge")
    return text_answer(challenge) if is_challenge(challenge) else None


def build(settings: SourceSettings) -> Source:
    """A Slack source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=OWN_SCHEMES["slack"],
        parse=parse_object,
        dedup=compile_selector("event_id").dedup,
        # What concerns the app itself, as app_rate_limited, has no event inside.
        type=compile_selector("event.type || type").text,
        key=compile_selector("event.channel").text,
        handshake=url_verification,
    )
