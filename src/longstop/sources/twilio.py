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
import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from longstop.model.errors import ConfigurationError
from longstop.model.event import Receipt
from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import form_pairs, joined_pairs
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.forms import parse_form
from longstop.sources.own_scheme import own_verifier
from longstop.sources.reading import compile_selector, fingerprint, joint_key, parse_leniently, text_of
from longstop.sources.verification import HmacVerifier, sole_value

HEADER = "X-Twilio-Signature"
QUERY_BYTES_MAX = 8 * 1024
"""A URL with a longer query is nobody's webhook."""
_PORTS = {"https": 443, "http": 80}
_TOKEN = compile_selector("header:I-Twilio-Idempotency-Token")
_SIDS = ("ConversationSid", "CallSid", "MessageSid", "SmsSid")
_BODY_HASH = re.compile(r"(?:.*&)?bodySHA256=([0-9a-f]{64})", re.DOTALL)
_ENDS_IN_BODY_HASH = re.compile(rb"bodySHA256=[0-9a-f]{64}\Z")
_SIGNED_SID = re.compile(rb"Sid([A-Z]{2}[0-9a-f]{32})")
_MESSAGE = re.compile(rb"(?:Message|Sms)Sid(?:SM|MM)[0-9a-f]{32}")
_STATUS = re.compile(rb"(?:Message|Sms)Status")


class TwilioVerifier:
    """The URL is signed, so it has to be known as the sender writes it: `public_url`, with the query that came."""

    def __init__(self, secrets: tuple[str, ...], public_url: str) -> None:
        self._hmac = HmacVerifier(secrets, HEADER, digest="sha1", encoding="base64")
        self._url = public_url

    def admits(self, request: Request, _now_ms: int, /) -> bool:
        """Whether the header, present once, signs the URL and the body under one of the secrets."""
        sent = [sole_value(request.headers, HEADER)]
        pairs = _signed_pairs(request)
        parameters = joined_pairs(pairs or ())
        urls = spellings(self._url, request.query[:QUERY_BYTES_MAX])
        signed = [self._hmac.signs(sent, url.encode(errors="replace"), parameters) for url in urls]
        hashed = _body_is_signed(request)
        return any(signed) and hashed and pairs is not None and _is_unshifted(request.query, pairs, parameters)


def _signed_pairs(request: Request) -> Collection[tuple[bytes, bytes]] | None:
    """The parameters that are signed beside the URL; None where there are too many, or the query is too long."""
    if len(request.query) > QUERY_BYTES_MAX:
        return None
    return () if _body_hash(request.query) else form_pairs(request.body)


def _body_hash(query: str) -> str | None:
    """The SHA-256 that Twilio appends to the URL where the body is no form."""
    found = _BODY_HASH.fullmatch(query[-QUERY_BYTES_MAX:])
    return found[1] if found else None


def _body_is_signed(request: Request) -> bool:
    """Whether the body is the one of the signed hash, where there is one. A form's body is signed itself."""
    signed = _body_hash(request.query)
    return signed is None or hmac.compare_digest(signed, hashlib.sha256(request.body).hexdigest())


def _is_unshifted(query: str, pairs: Collection[tuple[bytes, bytes]], parameters: bytes) -> bool:
    """Whether names and values stand where Twilio put them, as far as an event is known by them.

    They are signed without anything between them, and behind the URL without anything between that and them: from
    `MessageSid=SM1` one may make `MessageSidS=M1`, or a form from the hash of a JSON body, and the signature stays
    right. So each id that is signed behind `…Sid` has to be the value of such a parameter, and no hash may be signed
    that is not the query's own.
    """
    ids = {value for name, value in pairs if name.endswith(b"Sid")}
    if not ids.issuperset(_SIGNED_SID.findall(parameters)):
        return False
    signed = query.encode(errors="replace") + parameters
    return _body_hash(query) is not None or not _ENDS_IN_BODY_HASH.search(signed)


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


def dedup_by(public_url: str) -> Callable[[Request, Any], bytes]:
    """The dedup key of requests to this URL."""
    own_query = urlsplit(public_url).query if _is_url(public_url) else ""

    def dedup_key(request: Request, document: Any) -> bytes:
        """The hash of what is signed, and with it the idempotency token, except for a message's status.

        What is signed says once for all what status a message has. A call may ask twice with the very same words, when
        a caller presses the same key again; only the token tells these apart, and that is not signed. Not the ids in
        it alone: their names and values could be divided in another way under the same signature.
        Raises MalformedError where the token comes twice with different values.
        """
        is_form = request.body.lstrip()[:1] not in (b"{", b"[")
        parameters = joined_pairs(_signed_pairs(request) or ()) if is_form else b""
        content = parameters if parameters or _body_hash(request.query) else request.body
        signed = fingerprint((request.query or own_query).encode(errors="replace") + content)
        token = _TOKEN.dedup(request, document)
        if token is None or (_MESSAGE.search(parameters) and _STATUS.search(parameters)):
            return signed
        return joint_key([token.decode("utf-8", "replace"), signed.decode()])

    return dedup_key


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
        dedup=dedup_by(settings.public_url or ""),
        type=event_type,
        key=conversation,
        answer=twiml_answer,
    )
