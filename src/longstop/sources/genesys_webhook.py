"""What tutorials and forum answers call "a Genesys webhook": in truth a body that a customer's own workflow posts.

Two shapes are about: an envelope (`webhookId`, `webhookName`, `timestamp` and the event in `payload`) and a
flat event (`id`, `eventType`, `conversationId`). There is no signature of its own: `verify` says how it is
proven.

The dedup key is the event's own id: `payload.id`, or `id` where there is no `payload`. Where there is none
it is the hash of the whole body. Never `webhookId`, which is the same for all events of a subscription, nor
`conversationId`, which is the same for all events of a conversation: as keys both drop distinct events.
"""

from collections.abc import Iterable
from typing import Any

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.duplicate_names import RepeatedNames, parse_marking
from longstop.sources.reading import dedup_of, fingerprint, parse_leniently, parse_object, text_of


def event_of(document: Any) -> Any:
    """The event in the body: the payload, also where it is JSON in a string; the body itself in the flat shape.

    An empty object where the payload is anything else: it names nothing.
    """
    if "payload" not in document:
        return document
    payload = document["payload"]
    if type(payload) is str:
        payload = _embedded(payload.encode())
    return payload if type(payload) is dict else {}


def _embedded(text: bytes) -> Any:
    # Marked at once: the check of repeated names does not look into strings.
    return parse_marking(text) if parse_leniently(text) is not None else None


def _event_id(document: Any) -> Any:
    return event_of(document).get("id")


_REPEATED = RepeatedNames(_event_id, ("payload", "id"))


def dedup_key(request: Request, document: Any) -> bytes:
    """The event's id, or the hash of the whole body. Raises MalformedError where the id is ambiguous."""
    found = _event_id(document)
    _REPEATED.check(request.body, document, found)
    return dedup_of(found) or fingerprint(request.body)


def event_type(_request: Request, document: Any) -> str | None:
    """`eventType` of the event or of the envelope; else `type` of either; else the `webhookName`."""
    event = event_of(document)
    named = ((place, name) for name in ("eventType", "type") for place in (event, document))
    return _first_text([*named, (document, "webhookName")])


def conversation(_request: Request, document: Any) -> str | None:
    """`conversationId` of the event, else of the envelope."""
    return _first_text([(event_of(document), "conversationId"), (document, "conversationId")])


def _first_text(places: Iterable[tuple[dict[str, Any], str]]) -> str | None:
    texts = (text_of(place.get(name)) for place, name in places)
    return next((text for text in texts if text is not None), None)


def build(settings: SourceSettings) -> Source:
    """A source for both shapes. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(settings, parse=parse_object, dedup=dedup_key, type=event_type, key=conversation)
