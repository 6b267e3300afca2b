"""GitHub: webhooks of repositories, organisations and apps.

Facts from the vendor's documentation (docs.github.com, "Validating webhook deliveries", "Webhook events and payloads",
"Handling failed webhook deliveries"):
- `X-Hub-Signature-256: sha256=` and the hex of HMAC-SHA256 over the raw body. The older X-Hub-Signature is SHA-1.
- `X-GitHub-Event` names the event, most bodies tell more in `action`; `ping` comes when a webhook is made.
- `X-GitHub-Delivery` identifies the delivery and stays the same when it is sent again.
- The body is JSON, or a form with JSON in `payload`, as the webhook is set up; at most 25 MB.
- 10 s for the answer. Nothing is retried by itself: a failed delivery waits until a person or a program asks for it.
"""

from typing import Any

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.forms import parse_form
from longstop.sources.reading import compile_selector, parse_leniently, parse_object, text_of


def parse(body: bytes) -> dict[str, Any]:
    """The event: the body, or what the form holds in `payload`. Raises MalformedError where neither is an object."""
    if body.startswith(b"payload="):
        payload = parse_form(body).get("payload")
        if isinstance(payload, str) and isinstance(document := parse_leniently(payload.encode()), dict):
            return document
    return parse_object(body)


def event_type(request: Request, document: Any) -> str | None:
    """`X-GitHub-Event`, and `action` after a full stop where the body has one: `issues.opened`, `push`."""
    event = text_of(request.headers.get("X-GitHub-Event"))
    action = text_of(document.get("action"))
    return f"{event}.{action}" if event and action else event


def build(settings: SourceSettings) -> Source:
    """A GitHub source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=OWN_SCHEMES["github"],
        parse=parse,
        dedup=compile_selector("header:X-GitHub-Delivery").dedup,
        type=event_type,
        key=compile_selector("repository.full_name").text,
    )
