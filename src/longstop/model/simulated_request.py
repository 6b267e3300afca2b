"""What a sender puts around a body besides its proof: the media type, the name and the id of the event, the query.

`longstop send` poses as the sender with it. Ids are made of the body, so that the same body is the same event.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from longstop.model.settings import SourceSettings
from longstop.model.signing import event_id, is_json, proof_headers, twilio_query

JSON = "application/json"
XML = "text/xml"
FORM = "application/x-www-form-urlencoded"

_OWN: Mapping[str, Callable[[bytes], list[tuple[str, str]]]] = MappingProxyType(
    {
        "cxone-dfo": lambda _body: [("X-Signature-Algorithm", "sha256")],
        "cxone-expert": lambda body: [("X-Nexus-Event-Type", "Page_Create"), ("X-Nexus-Delivery-Id", event_id(body))],
        "github": lambda body: [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", event_id(body))],
        "shopify": lambda body: [("X-Shopify-Topic", "orders/create"), ("X-Shopify-Event-Id", event_id(body))],
        "twilio": lambda body: [("I-Twilio-Idempotency-Token", event_id(body))],
    }
)


_POST_OF_BYOC = "longstop-send"


def path_below(settings: SourceSettings) -> str:
    """Where the sender posts its events, below the source's own path."""
    return f"/posts/{_POST_OF_BYOC}/messages" if settings.kind == "cxone-byoc" else ""


def token_request(settings: SourceSettings) -> tuple[str, bytes] | None:
    """Where below the source's path, and with what body, the sender asks for its token; None: it shows none."""
    if settings.kind != "cxone-byoc" or not settings.secrets:
        return None
    client = {"client_id": settings.client_id, "client_secret": settings.secrets[0]}
    return "/token", json.dumps({**client, "grant_type": "client_credentials"}).encode()


def headers_around(settings: SourceSettings, body: bytes) -> list[tuple[str, str]]:
    """Content-Type and the headers that name the event."""
    own = _OWN.get(settings.kind)
    headers = [("Content-Type", _media_type(settings.kind, body)), *(own(body) if own else ())]
    given = {name.lower() for name, _ in headers} | {name.lower() for name in proof_headers(settings)}
    return [*headers, *((name, event_id(body)) for name in settings.required_headers if name.lower() not in given)]


def _media_type(kind: str, body: bytes) -> str:
    if kind == "cxone-expert":
        return JSON if is_json(body) else XML
    # A Studio script says so of JSON, too, unless its author knows better.
    return FORM if kind == "cxone-studio" or (kind == "twilio" and not is_json(body)) else JSON


def query_around(settings: SourceSettings, body: bytes) -> str:
    """The query of the URL that the sender posts to; mostly nothing."""
    if settings.kind != "twilio":
        return ""
    own = urlsplit(settings.public_url or "").query
    return "&".join(filter(None, (own, twilio_query(body) if is_json(body) else "")))
