"""Genesys Cloud events by way of Amazon EventBridge, whose API destination posts the envelope here.

Facts from the vendors' documentation and from the test inputs of Genesys' "event streaming" blueprint:
- An API destination proves itself by an API key in a header of the customer's choice, by Basic or by OAuth.
- `id` names the event and is the same when EventBridge sends it again; `detail-type` is the topic's name with
  a literal `{id}`; the conversation and the time of the event (milliseconds) are in `detail.eventBody`. The
  envelope's own `time` is later.
- 401, 407, 409, 429 and 5xx are tried again, up to 185 times in 24 hours; all else is final.
"""

from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_object, time_at

RETRY_AFTER_MAX_S = 3600
"""Of its 24 hours of retries (the vendor's default retry policy), so many seconds lose little."""


def build(settings: SourceSettings) -> Source:
    """A source of EventBridge envelopes. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        parse=parse_object,
        dedup=compile_selector("id").dedup,
        type=compile_selector('"detail-type"').text,
        key=compile_selector("detail.eventBody.conversationId").text,
        occurred=time_at("detail.eventBody.eventTime", "time"),
        retry_after_max_s=RETRY_AFTER_MAX_S,
    )
