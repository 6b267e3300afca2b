"""Slack: the Events API, over HTTP.

Facts from the vendor's documentation (docs.slack.dev, "Verifying requests from Slack", "HTTP Request URLs",
"url_verification", "The Events API"):
- `X-Slack-Signature: v0=` and the hex of HMAC-SHA256 over `v0:`, the time, a colon and the raw body; the time is
  `X-Slack-Request-Timestamp`. Five minutes off is too much.
- `url_verification` asks whether the URL is the app's own: it is signed, and wants its `challenge` back.
- `event_id` names the event and is the same in every try; what happened is in `event`, its kind in `event.type`.
- Slash commands are posted as forms; what people do to buttons, menus, shortcuts and views is JSON in the form's
  `payload`, with its kind in `type`. Both are signed as events are, sent once, and answered by 200 with an empty body;
  a body would be shown, or, for a view, be an error ("Enabling interactivity", "Handling user interaction", "Enabling
  slash commands", "Modals").
- 3 s for the answer, then three more tries: nearly at once, after a minute, after five minutes.
"""

import re
from typing import Any

from longstop.model.event import Receipt
from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.challenge import Handshake, is_challenge, text_answer
from longstop.sources.dialect import Dialect
from longstop.sources.forms import parse_form
from longstop.sources.reading import compile_selector, fingerprint, parse_leniently, parse_object, text_of

TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"


_FORM_FIELD = re.compile(rb"[A-Za-z0-9_]+=")
_EVENT_ID = compile_selector("event_id")


def parse(body: bytes) -> dict[str, Any]:
    """The event; of an interaction, what the form holds in `payload`; of a slash command, the form's fields.

    Raises MalformedError where it is none of them.
    """
    if not _FORM_FIELD.match(body):
        return parse_object(body)
    fields = parse_form(body)
    payload = fields.get("payload")
    return parse_object(payload.encode()) if isinstance(payload, str) else fields


def dedup_key(request: Request, document: Any) -> bytes | None:
    """An event's id. Of what a person did, which has none and is sent but once: the hash of what is signed.

    Raises MalformedError where the id is ambiguous.
    """
    if _EVENT_ID.text(request, document) is None and _FORM_FIELD.match(request.body):
        return fingerprint((request.headers.get(TIMESTAMP_HEADER) or "").encode() + b":" + request.body)
    return _EVENT_ID.dedup(request, document)


def event_type(_request: Request, document: Any) -> str | None:
    """The type of the event inside, else of the whole, as `block_actions`; `slash_command` for a slash command."""
    inner = _member(document, "event").get("type")
    return text_of(inner) or text_of(document.get("type")) or ("slash_command" if "command" in document else None)


def conversation(_request: Request, document: Any) -> str | None:
    """The channel; of an interaction outside of channels, as in a view, the person."""
    places = (
        (_member(document, "event"), "channel"),
        (document, "channel_id"),
        (_member(document, "channel"), "id"),
        (_member(document, "user"), "id"),
    )
    return next((text for text in (text_of(place.get(name)) for place, name in places) if text), None)


def _member(document: Any, name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def url_verification(request: Request) -> Answer | None:
    """The challenge of `url_verification`, as text."""
    document = parse_leniently(request.body)
    if not isinstance(document, dict) or document.get("type") != "url_verification":
        return None
    challenge = document.get("challenge")
    return text_answer(challenge) if is_challenge(challenge) else None


def empty_answer(_receipt: Receipt) -> Answer:
    """200 and nothing else: Slack takes a body for what is to be shown to the person who acted."""
    return Answer(200, b"", "text/plain; charset=utf-8")


def build(settings: SourceSettings) -> Source:
    """A Slack source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        scheme=OWN_SCHEMES["slack"],
        parse=parse,
        dedup=dedup_key,
        # What concerns the app itself, as app_rate_limited, has no event inside.
        type=event_type,
        key=conversation,
        answer=empty_answer,
        handshake=Handshake(url_verification, b"url_verification"),
    )
