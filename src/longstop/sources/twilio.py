"""Twilio: webhooks of messages, calls and everything else that asks a URL.

Facts from the vendor's documentation (twilio.com/docs/usage/webhooks: webhooks-security, webhooks-connection-overrides;
twilio.com/docs/api/errors: 15003, 12300 and 11750) and from the validators and tests of its libraries:
- `X-Twilio-Signature`: the base64 of HMAC-SHA1 over the URL as Twilio knows it, followed by the names and values of a
  form's parameters, sorted, equal ones once. The key is the account's auth token.
- A body that is no form is signed through the URL: its SHA-256 in hex is appended to the query as `bodySHA256`.
- Whether the URL has its port in what is signed differs; the libraries try both.
- `I-Twilio-Idempotency-Token` is the same in every try of one request.
- An answer is TwiML (`text/xml`); an empty `<Response/>` asks for nothing. JSON is an error to most kinds of webhook.
- 15 s for the answer; one more try by default, and only where the connection failed, unless the URL says otherwise.
"""

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from longstop.model.errors import ConfigurationError
from longstop.model.event import Receipt
from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import form_parameters
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.forms import parse_form
from longstop.sources.own_scheme import own_verifier
from longstop.sources.reading import compile_selector, fingerprint, joint_key, parse_leniently, text_of
from longstop.sources.verification import HmacVerifier, sole_value

HEADER = "X-Twilio-Signature"
_PORTS = {"https": 443, "http": 80}
_TOKEN = compile_selector("header:I-Twilio-Idempotency-Token")
_SIDS = ("ConversationSid", "CallSid", "MessageSid", "SmsSid")


class TwilioVerifier:
    """The URL is signed, so it has to be known as the sender writes it: `public_url`, with the query that came."""

    def __init__(self, secrets: tuple[str, ...], public_url: str) -> None:
        self._hmac = HmacVerifier(secrets, HEADER, digest="sha1", hexadecimal=False)
        self._url = public_url

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, signs the URL and the body under one of the secrets."""
        sent = sole_value(request.headers, HEADER)
        parameters = form_parameters(request.body) if _body_hashes(request) == [] else b""
        urls = spellings(self._url, request.query)
        signed = [self._hmac.signs(sent, url.encode(errors="replace") + (parameters or b"")) for url in urls]
        return any(signed) and parameters is not None and _body_is_signed(request)


def _body_hashes(request: Request) -> list[str]:
    return parse_qs(request.query, errors="replace").get("bodySHA256", [])


def _body_is_signed(request: Request) -> bool:
    """Whether the body is the one of the signed hash, where there is one. A form's body is signed itself."""
    hashes = _body_hashes(request)
    sent = hashes[0].encode("utf-8", "replace") if len(hashes) == 1 else b""
    return not hashes or hmac.compare_digest(sent, hashlib.sha256(request.body).hexdigest().encode())


def spellings(public_url: str, query: str) -> list[str]:
    """The URL with the query that came, or else its own; as it is, without its port, and with the scheme's own port."""
    parts = urlsplit(public_url)
    if query:
        parts = parts._replace(query=query)
    user, at, host = parts.netloc.rpartition("@")
    bare = host if parts.port is None else host.rpartition(":")[0]
    with_port = f"{bare}:{_PORTS.get(parts.scheme, 443)}"
    urls = [urlunsplit(parts._replace(netloc=f"{user}{at}{each}")) for each in (host, bare, with_port)]
    return list(dict.fromkeys(urls))


def parse(body: bytes) -> Any:
    """A JSON object or array as it is; anything else as a form."""
    document = parse_leniently(body)
    return document if isinstance(document, (dict, list)) else parse_form(body)


def dedup_key(request: Request, document: Any) -> bytes:
    """The idempotency token; else a message's id with its status; else the hash of the body.

    A call asks many times with one CallSid and one status, and what it asks with is in the rest of the body. Raises
    MalformedError where the token comes twice with different values.
    """
    token = _TOKEN.dedup(request, document)
    if token is not None:
        return token
    sid, status = _first(document, "MessageSid", "SmsSid"), _first(document, "MessageStatus", "SmsStatus")
    return joint_key([sid, status]) if sid and status else fingerprint(request.body)


def event_type(_request: Request, document: Any) -> str | None:
    """`message.<status>`, `call.<status>`, or the `type` of the first event of an Event Streams sink."""
    for prefix, names in (("message", ("MessageStatus", "SmsStatus")), ("call", ("CallStatus",))):
        status = _first(document, *names)
        if status:
            return f"{prefix}.{status}"
    first = document[0] if isinstance(document, list) and document else document
    return _first(first, "type", "EventType")


def conversation(_request: Request, document: Any) -> str | None:
    """The id of the conversation, the call or the message."""
    return _first(document, *_SIDS)


def _first(document: Any, *names: str) -> str | None:
    if not isinstance(document, dict):
        return None
    texts = (text_of(document.get(name)) for name in names)
    return next((text for text in texts if text), None)


def twiml_answer(_receipt: Receipt) -> Answer:
    """Empty TwiML: nothing is to be said or done."""
    return Answer(200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _verifier(settings: SourceSettings, secrets: tuple[str, ...]) -> TwilioVerifier:
    if settings.public_url is None or not _is_url(settings.public_url):
        found = "nothing" if settings.public_url is None else "no http:// or https:// URL"
        problem = f"sources.{settings.name}.public_url: found {found}; expected the URL that Twilio posts to"
        raise ConfigurationError((problem,))
    return TwilioVerifier(secrets, settings.public_url)


def build(settings: SourceSettings) -> Source:
    """A Twilio source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(
        settings,
        verifier=own_verifier(settings, lambda secrets: _verifier(settings, secrets)),
        parse=parse,
        dedup=dedup_key,
        type=event_type,
        key=conversation,
        answer=twiml_answer,
    )
